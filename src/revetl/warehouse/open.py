"""Opens the warehouse that a dbt profile describes. The keys are dbt's, so that one profile serves both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from revetl.errors import ConfigError
from revetl.warehouse.base import Warehouse


def open_warehouse(output: Mapping[str, Any], *, root: Path, state_schema: str) -> Warehouse:
    """`output` is one rendered output of profiles.yml. A relative path (of a DuckDB file, of a key) is taken from
    `root`: dbt takes it from its working directory, and revetl runs dbt there. The caller closes what it gets.

    ConfigError for a profile that can't work, WarehouseDenied for credentials, WarehouseError where nobody answers.
    """
    kind = str(output.get("type"))
    opener = {"duckdb": _duckdb, "postgres": _postgres, "snowflake": _snowflake}.get(kind)
    if opener is None:
        raise ConfigError(f"revetl can't open a {kind} warehouse", hint="Valid: duckdb, postgres, snowflake.")
    try:
        return opener(output, root, state_schema)
    except ModuleNotFoundError as e:
        raise ConfigError(f"{e.name} is not installed", hint=f"pip install 'revetl[{kind}]'") from None


def _duckdb(output: Mapping[str, Any], root: Path, state_schema: str) -> Warehouse:
    from revetl.warehouse.duckdb import DuckDBWarehouse

    raw = str(output.get("path", ":memory:"))
    if raw == ":memory:":
        raise ConfigError("the DuckDB path is :memory:, which dbt and revetl can't share", hint="Name a file.")
    path: Path | str = raw if raw.startswith("md:") else root / raw
    settings = {str(name): str(value) for name, value in (output.get("settings") or {}).items()}
    for name in settings:
        if not name.isidentifier():
            raise ConfigError(f"profiles.yml: the DuckDB setting {name!r} is not a name")
    return DuckDBWarehouse(path, state_schema=state_schema, settings=settings)


# dbt's keys, and with `service` and `passfile` what else libpq reads of where a server is and who asks. What stands in
# PGSSLMODE, PGPASSWORD, ~/.pgpass and their like is read by libpq itself, for dbt as for us.
_POSTGRES = (
    *("host", "port", "user", "service", "passfile", "connect_timeout", "keepalives_idle", "application_name"),
    *("sslmode", "sslcert", "sslkey", "sslrootcert"),
)
_POSTGRES_FILES = ("passfile", "sslcert", "sslkey", "sslrootcert")


def _postgres(output: Mapping[str, Any], root: Path, state_schema: str) -> Warehouse:
    from revetl.warehouse.postgres import PostgresWarehouse
    from revetl.warehouse.postgres.connecting import PostgresProfile

    options = _given(output, _POSTGRES)
    # dbt knows two names of each.
    options |= _renamed(output, {"pass": "password", "password": "password", "database": "dbname", "dbname": "dbname"})
    if "service" not in options:
        _require("postgres", options, ("host", "user", "dbname"))
    for key in _POSTGRES_FILES:
        if key in options and (key, options[key]) != ("sslrootcert", "system"):  # libpq: the machine's own
            options[key] = str(root / str(options[key]))
    if not int(options.get("keepalives_idle", 1)):  # dbt's 0 means libpq's default
        del options["keepalives_idle"]
    retries = output.get("retries")
    profile = PostgresProfile(
        {"connect_timeout": 10, **options},
        role=output.get("role") or None,
        search_path=output.get("search_path") or None,
        retries=1 if retries is None else int(retries),
    )
    return PostgresWarehouse(profile, state_schema=state_schema)


def _snowflake(output: Mapping[str, Any], root: Path, state_schema: str) -> Warehouse:
    from revetl.warehouse.snowflake import SnowflakeWarehouse
    from revetl.warehouse.snowflake.private_key import read_private_key

    same = ("account", "user", "password", "role", "warehouse", "database", "schema", "authenticator", "token")
    options = _given(output, (*same, "host", "port", "protocol", "client_session_keep_alive"))
    _require("snowflake", options, ("account", "user", "database"))
    passphrase = output.get("private_key_passphrase") or None
    if output.get("private_key_path"):
        options["private_key_file"] = str(root / str(output["private_key_path"]))
        options |= {"private_key_file_pwd": passphrase} if passphrase else {}
    elif output.get("private_key"):
        options["private_key"] = read_private_key(str(output["private_key"]), passphrase)
    parameters = dict(output.get("session_parameters") or {})
    if output.get("query_tag"):
        parameters["QUERY_TAG"] = str(output["query_tag"])
    return SnowflakeWarehouse({**options, "session_parameters": parameters}, state_schema=state_schema)


def _given(output: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """What the profile says; an empty text is what env_var() gives for a variable that nobody set."""
    return {key: output[key] for key in keys if output.get(key) not in (None, "")}


def _renamed(output: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: output[theirs] for theirs, ours in names.items() if output.get(theirs) not in (None, "")}


def _require(kind: str, options: Mapping[str, Any], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in options]
    if missing:
        raise ConfigError(
            f"profiles.yml: the {kind} target lacks {', '.join(missing)}",
            hint="An environment variable that it reads may not be set.",
        )
