"""The golden contract: which columns of which model providers may fill. A column of a model's .yml says so:

    - name: lei
      data_type: varchar
      config: {meta: {enrichable: true}}

It is read from the files themselves, since a list is enriched without dbt; dbt's models read the same through the graph
(`enriched_fields` in dbt_project/macros/enrichment.sql).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from revetl.documents import Document, read_yaml
from revetl.errors import ConfigError, Problem

KEY = "enrichable"


def read_golden_fields(dbt_dir: Path) -> dict[str, tuple[str, ...]]:
    """Model → its columns that providers may fill, as written; only models that have any. Files that do not hold the
    word are not parsed. ConfigError where one can't be read, or says something other than true or false."""
    found: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for path in sorted(_files(dbt_dir)):
        try:
            if KEY.encode() not in path.read_bytes():
                continue
            for name, columns in _models(read_yaml(path), problems):
                found[name] = (*found.get(name, ()), *columns)
        except OSError as e:
            problems.append(Problem(f"can't be read: {e.strerror or type(e).__name__}", path))
        except ConfigError as e:
            problems.extend(e.problems)
    if problems:
        raise ConfigError(problems)
    return found


def model_folders(dbt_dir: Path) -> list[Path]:
    """dbt's model paths; where dbt_project.yml can't be read, its default. Who runs dbt is told of that."""
    try:
        declared = read_yaml(dbt_dir / "dbt_project.yml").data
    except ConfigError:
        declared = None
    paths = declared.get("model-paths") if isinstance(declared, dict) else None
    return [dbt_dir / str(path) for path in (paths if isinstance(paths, list) and paths else ["models"])]


def _files(dbt_dir: Path) -> Iterator[Path]:
    for folder in model_folders(dbt_dir):
        for ending in ("*.yml", "*.yaml"):
            yield from (path for path in folder.rglob(ending) if path.is_file())


def _models(document: Document, problems: list[Problem]) -> Iterator[tuple[str, list[str]]]:
    models = document.data.get("models") if isinstance(document.data, dict) else None
    for i, model in enumerate(models if isinstance(models, list) else ()):
        columns = model.get("columns") if isinstance(model, dict) else None
        enrichable = []
        for j, column in enumerate(columns if isinstance(columns, list) else ()):
            said = _said(column)
            if said is not None and not isinstance(said, bool):
                at = ("models", i, "columns", j, "config", "meta", KEY)
                problems.append(document.problem(at, f"{KEY!r} is true or false"))
            elif said:
                enrichable.append(str(column.get("name")))
        if enrichable:
            yield str(model.get("name")), enrichable


def _said(column: Any) -> object:
    inside = column
    for key in ("config", "meta", KEY):
        if not isinstance(inside, Mapping):
            return None
        inside = inside.get(key)
    return inside
