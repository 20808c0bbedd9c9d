"""Opens the warehouse that a dbt profile describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from revetl.errors import ConfigError, WarehouseError
from revetl.warehouse.base import Warehouse


def open_warehouse(output: Mapping[str, Any], *, root: Path, state_schema: str) -> Warehouse:
    """`output` is one rendered output of profiles.yml. A relative DuckDB path is taken from `root`: dbt takes it from
    its working directory, and revetl runs dbt there. The caller closes what it gets."""
    kind = output.get("type")
    if kind == "duckdb":
        return _duckdb(output, root, state_schema)
    raise ConfigError(
        f"revetl can't open a {kind} warehouse yet; dbt builds on it all the same", hint="Use a target of type duckdb."
    )


def _duckdb(output: Mapping[str, Any], root: Path, state_schema: str) -> Warehouse:
    from revetl.warehouse.duckdb import DuckDBWarehouse

    raw = str(output.get("path", ":memory:"))
    if raw == ":memory:":
        raise ConfigError("the DuckDB path is :memory:, which dbt and revetl can't share", hint="Name a file.")
    path: Path | str = raw if raw.startswith("md:") else root / raw
    if isinstance(path, Path) and not path.parent.is_dir():
        raise WarehouseError(f"{path}: no such directory to keep the DuckDB file in")
    warehouse = DuckDBWarehouse(path, state_schema=state_schema)
    for name, value in (output.get("settings") or {}).items():
        if not str(name).isidentifier():
            raise ConfigError(f"profiles.yml: the DuckDB setting {name!r} is not a name")
        from revetl.warehouse.sql import literal

        warehouse.execute(f"SET {name} = {literal(str(value), 'duckdb')}")
    return warehouse
