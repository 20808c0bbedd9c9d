"""YAML that remembers where every value stood, and turns every mistake into path:line with the nearest valid name.

`read_yaml` gives plain dicts, lists and scalars inside a `Document`; `parse` validates one against a pydantic model.
Duplicate keys are errors: YAML itself would silently keep the last.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml

from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.yaml_bounds import MOST_VALUES, check_size

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    M = TypeVar("M", bound=BaseModel)

Path_ = tuple[str | int, ...]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MOST_BYTES = 16 * 1024 * 1024
_MOST_DIGITS = 1_000  # of a number: PyYAML reads 1:59:59 in quadratic time
_MOST_PROBLEMS = 100  # nobody reads more
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# Numbers that YAML 1.1 takes for others than they look like: what is wrong, what would be right.
_UNCLEAR = (
    (":", "a number with a colon is counted in sixties", "Write plain digits (1:30 is taken for 90)"),
    ("_", "a number with underscores", "Write plain digits: 1000 for 1_000"),
    ("0", "a number that begins with 0 is counted in eights", "Write it without the 0 (010 is taken for 8)"),
)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file. `lines` maps the path of each value (keys and indexes from the root) to its line, from 1.
    `unclear`: the numbers that are others than they look like, with what is wrong and what would be right. They are
    mistakes where we are the reader: files of dbt hold much that is not ours."""

    path: Path
    data: Any
    lines: Mapping[Path_, int]
    unclear: Mapping[Path_, tuple[str, str]] = field(default_factory=dict)

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
        unclear = {at[len(place) :]: why for at, why in self.unclear.items() if at[: len(place)] == place}
        return Document(self.path, data, lines, unclear)

    def unclear_numbers(self, at: Sequence[str | int] = ()) -> list[Problem]:
        """Those of the value there. The numbers are not repeated, since they may be secret."""
        place = tuple(at)
        return [
            self.problem(
                where,
                f"{'.'.join(map(str, where[len(place) :])) or 'document'}: {wrong}",
                f"{right}, or put it in quotes where text is meant.",
            )
            for where, (wrong, right) in self.unclear.items()
            if where[: len(place)] == place
        ]


def read_yaml(path: Path) -> Document:
    """Reads one file. ConfigError where it is missing, is no UTF-8 text, is not YAML, says one key twice, is nested too
    deep, holds more than `MOST_VALUES` values, or its aliases stand for more than `MOST_ALIASED`: a few lines of them
    can stand for billions."""
    text = _text_of(path)
    loader = None
    try:
        check_size(text, path)
        loader = _Loader(text)
        root = loader.get_single_node()
        builder = _Builder(loader, path)
        data = None if root is None else builder.build(root, ())
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
    except yaml.reader.ReaderError as e:
        raise ConfigError(
            Problem("not valid YAML: a character that text can't hold", path, text.count("\n", 0, e.position) + 1)
        ) from None
    except yaml.YAMLError:
        raise ConfigError(Problem("not valid YAML: a character that text can't hold", path)) from None
    except RecursionError:
        raise ConfigError(Problem("not valid YAML: an alias that holds itself", path)) from None
    finally:
        if loader is not None:
            loader.dispose()
    if builder.problems:
        raise ConfigError(builder.problems)
    return Document(path, data, builder.lines, builder.unclear)


def _text_of(path: Path) -> str:
    """UTF-8, with or without a byte order mark."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(Problem("is a directory" if stat.S_ISDIR(found.st_mode) else "is no file", path))
        if found.st_size > _MOST_BYTES:
            raise ConfigError(Problem(f"is larger than {_MOST_BYTES >> 20} MiB", path))
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(Problem("no such file", path)) from None
    except OSError as e:
        raise ConfigError(Problem(f"can't be read: {e.strerror or e.__class__.__name__}", path)) from None
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(Problem("can't be read: it is UTF-16 text", path, 1, "Save it as UTF-8."))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        raise ConfigError(Problem("can't be read: it is no UTF-8 text", path, line, "Save it as UTF-8.")) from None


class _Builder:
    """From the nodes of one file to plain data, with the line of each value."""

    def __init__(self, loader: Any, path: Path) -> None:
        self._loader = loader
        self._path = path
        self._values = 0
        self.lines: dict[Path_, int] = {}
        self.unclear: dict[Path_, tuple[str, str]] = {}
        self.problems: list[Problem] = []

    def build(self, node: Any, at: Path_) -> Any:
        self._values += 1
        line = node.start_mark.line + 1
        if self._values > MOST_VALUES:
            raise ConfigError(Problem(f"not valid YAML: more than {MOST_VALUES:,} values", self._path, line))
        self.lines[at] = line
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*at, i)) for i, item in enumerate(node.value)]
        if node.tag in _NUMBERS and (unclear := _unclear(node.value)) is not None:
            self.unclear[at] = unclear
        return self._scalar(node)

    def _mapping(self, node: Any, at: Path_) -> dict[Hashable, Any]:
        out: dict[Hashable, Any] = {}
        merged: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                bases = self.build(value_node, at)
                for base in bases if isinstance(bases, list) else [bases]:
                    if not isinstance(base, dict):
                        self._refuse("<<: takes a mapping", line)
                        continue
                    merged = {**base, **merged}  # of several, the first holds
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse("a list or a mapping can't be a key", line)
                continue
            key = self._scalar(key_node)
            if key in out:
                self._refuse(f"the key {key!r} stands twice", line)
                continue
            place = (*at, key if isinstance(key, int) else str(key))
            out[key] = self.build(value_node, place)
            # The line of a value is that of its key: that is where the operator looks.
            self.lines[place] = line
        return {**merged, **out}

    def _scalar(self, node: Any) -> Any:
        if node.tag == "tag:yaml.org,2002:str":
            return node.value
        try:
            if node.tag in _NUMBERS and len(node.value) > _MOST_DIGITS:
                raise ValueError
            return self._loader.construct_object(node, deep=True)
        # Looks like a date or a number, and is none. PyYAML takes what a tag promises without a look at what is there:
        # KeyError of `!!bool maybe`, IndexError of `!!int ''`, AttributeError and TypeError of `!!timestamp abc`.
        except (ValueError, OverflowError, LookupError, AttributeError, TypeError):
            kind = node.tag.rpartition(":")[2]
            message = f"is written like a {kind} and is none"
            self._refuse(message, node.start_mark.line + 1, "Put it in quotes where it is meant as text.")
            return None

    def _refuse(self, message: str, line: int, hint: str | None = None) -> None:
        self.problems.append(Problem(message, self._path, line, hint))
        if len(self.problems) >= _MOST_PROBLEMS:
            raise ConfigError(self.problems)


def _unclear(number: str) -> tuple[str, str] | None:
    for sign, wrong, right in _UNCLEAR:
        if _LEADING_ZERO.fullmatch(number) if sign == "0" else sign in number:
            return wrong, right
    return None


def parse(document: Document, model: type[M], data: Any = None, at: Path_ = ()) -> M:
    """Validates `data` (default: the whole document), found at `at`, as `model`. ConfigError with every mistake."""
    from pydantic import ValidationError

    unclear = document.unclear_numbers(at)
    try:
        found = model.model_validate(document.data if data is None and not at else data)
    except ValidationError as e:
        raise ConfigError([*unclear, *explain(e, document, model, at)]) from None
    if unclear:
        raise ConfigError(unclear)
    return found


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
    return Document(document.path, data, document.lines, document.unclear)
