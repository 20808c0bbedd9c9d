"""YAML that remembers where every value stood, and turns every mistake into path:line with the nearest valid name.

`read_yaml` gives plain dicts, lists and scalars inside a `Document`; `parse` validates one against a pydantic model.
Duplicate keys are errors: YAML itself would silently keep the last.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml

from revetl.errors import ConfigError, Problem, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    M = TypeVar("M", bound=BaseModel)

Path_ = tuple[str | int, ...]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file. `lines` maps the path of each value (keys and indexes from the root) to its line, from 1."""

    path: Path
    data: Any
    lines: Mapping[Path_, int]

    def line(self, location: Sequence[str | int]) -> int | None:
        """The line of the value there, or of its nearest ancestor that exists."""
        place = tuple(location)
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place)

    def problem(self, location: Sequence[str | int], message: str, hint: str | None = None) -> Problem:
        return Problem(message, self.path, self.line(location), hint)

    def part(self, location: Sequence[str | int]) -> Document:
        """The value there as a document of its own, with its lines. KeyError or IndexError where nothing stands."""
        place = tuple(location)
        data = self.data
        for step in place:
            data = data[step]
        lines = {at[len(place) :]: line for at, line in self.lines.items() if at[: len(place)] == place}
        return Document(self.path, data, lines)


def read_yaml(path: Path) -> Document:
    """Reads one file. ConfigError where it is missing, is not YAML, or says one key twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(Problem("no such file", path)) from None
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(Problem(f"can't be read: {e.__class__.__name__}", path)) from None
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        lines: dict[Path_, int] = {}
        problems: list[Problem] = []
        data = None if root is None else _build(loader, root, (), lines, problems, path)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        raise ConfigError(
            Problem(
                f"not valid YAML: {e.problem or 'syntax error'}",
                path,
                mark.line + 1 if mark else None,
                e.context,
            )
        ) from None
    except yaml.YAMLError:
        raise ConfigError(Problem("not valid YAML: a character that text can't hold", path)) from None
    except RecursionError:
        raise ConfigError(Problem("not valid YAML: an alias that holds itself, or nesting without end", path)) from None
    finally:
        if loader is not None:
            loader.dispose()
    if problems:
        raise ConfigError(problems)
    return Document(path, data, lines)


def _build(loader: Any, node: Any, at: Path_, lines: dict[Path_, int], problems: list[Problem], path: Path) -> Any:
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        out: dict[Hashable, Any] = {}
        merged: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                bases = _build(loader, value_node, at, lines, problems, path)
                for base in bases if isinstance(bases, list) else [bases]:
                    if not isinstance(base, dict):
                        problems.append(Problem("<<: takes a mapping", path, key_node.start_mark.line + 1))
                        continue
                    merged = {**base, **merged}  # of several, the first holds
                continue
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in out:
                problems.append(Problem(f"the key {key!r} stands twice", path, key_node.start_mark.line + 1))
                continue
            place = (*at, key if isinstance(key, int) else str(key))
            out[key] = _build(loader, value_node, place, lines, problems, path)
            # The line of a value is that of its key: that is where the operator looks.
            lines[place] = key_node.start_mark.line + 1
        return {**merged, **out}
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*at, i), lines, problems, path) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def parse(document: Document, model: type[M], data: Any = None, at: Path_ = ()) -> M:
    """Validates `data` (default: the whole document), found at `at`, as `model`. ConfigError with every mistake."""
    from pydantic import ValidationError

    try:
        return model.model_validate(document.data if data is None and not at else data)
    except ValidationError as e:
        raise ConfigError(explain(e, document, model, at)) from None


def explain(error: ValidationError, document: Document, model: type[BaseModel], at: Path_ = ()) -> list[Problem]:
    """Pydantic's findings as problems with lines; values are not repeated, since they may be secret."""
    problems: list[Problem] = []
    for item in error.errors(include_url=False, include_input=False):
        # Union members put class names into loc; only what exists in the file helps the reader.
        location = [*at]
        for part in item["loc"]:
            if (*location, part) in document.lines:
                location.append(part)
        name = item["loc"][-1] if item["loc"] else ""
        hint = None
        if item["type"] == "extra_forbidden":
            message = f"{name!r} is not known here"
            hint = did_you_mean(str(name), _field_names(model, item["loc"][:-1]))
        elif item["type"] == "missing":
            message = f"{name!r} is missing"
        else:
            message = f"{'.'.join(map(str, item['loc'])) or 'document'}: {item['msg'].removeprefix('Value error, ')}"
        if item["type"] == "literal_error":  # its message names all that are valid
            words = re.findall(r"'([^']*)'", str(item["ctx"]["expected"]))
            said = item["loc"][-2] if name == "[key]" else _at(document.data, location)
            near = get_close_matches(str(said), words, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else None
        problems.append(document.problem(location, message, hint))
    return problems


def _at(data: Any, location: Sequence[str | int]) -> Any:
    for step in location:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _field_names(model: Any, loc: Sequence[str | int]) -> list[str]:
    """The names valid at `loc` below `model`, walking through lists, dicts, optionals and unions."""
    current: list[Any] = [model]
    for part in loc:
        found: list[Any] = []
        for m in _models(current):
            for name, info in m.model_fields.items():
                if part in (name, info.alias):
                    found.append(info.annotation)
        current = found or current  # an index, a dict key or a union tag: stay
    names: set[str] = set()
    for m in _models(current):
        names |= {info.alias or name for name, info in m.model_fields.items()}
    return sorted(names)


def _models(annotations: Sequence[Any]) -> list[Any]:
    from pydantic import BaseModel

    out: list[Any] = []
    todo = list(annotations)
    while todo:
        a = todo.pop()
        if isinstance(a, type) and issubclass(a, BaseModel):
            out.append(a)
        else:
            todo.extend(get_args(a))
    return out


_ENV = re.compile(
    r"""\{\{\s*env_var\(\s*(?P<q>['"])(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P=q)\s*"""
    r"""(?:,\s*(?P<q2>['"])(?P<default>[^'"]*)(?P=q2)\s*)?\)\s*(?:\|\s*(?:as_number|as_bool|as_native|int)\s*)?\}\}"""
)


def render_env(document: Document, environ: Mapping[str, str] | None = None) -> Document:
    """Replaces `{{ env_var('NAME'[, 'default']) }}` in every string, as dbt's profiles do. No other Jinja is run.

    A name that is not set and has no default is a problem that names the variable, never a value.
    """
    env = os.environ if environ is None else environ
    problems: list[Problem] = []

    def walk(value: Any, at: Path_) -> Any:
        if isinstance(value, dict):
            return {k: walk(v, (*at, k if isinstance(k, int) else str(k))) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v, (*at, i)) for i, v in enumerate(value)]
        if not isinstance(value, str) or "{{" not in value:
            return value

        def one(m: re.Match[str]) -> str:
            default: str | None = m["default"]
            found = env.get(m["name"], default)
            if found is None:
                problems.append(
                    document.problem(
                        at,
                        f"the environment variable {m['name']} is not set",
                        f"export {m['name']}=… before the command",
                    )
                )
                return ""
            return found

        if "{{" in _ENV.sub("", value):  # of what is written, not of what a variable holds
            problems.append(
                document.problem(at, "only {{ env_var('NAME') }} or {{ env_var('NAME', 'default') }} can stand here")
            )
        return _ENV.sub(one, value)

    data = walk(document.data, ())
    if problems:
        raise ConfigError(problems)
    return Document(document.path, data, document.lines)
