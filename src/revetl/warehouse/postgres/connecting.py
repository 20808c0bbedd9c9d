"""A session from what a profile says: opened, tried again where nobody answers, and made equal to every other."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.pq import ConnStatus
from psycopg.types.string import TextLoader

from revetl.errors import ConfigError, WarehouseDenied, WarehouseError
from revetl.warehouse.postgres import failures, pooler

# 14 has `hash_record_extended` of any record, which rows are told apart by.
OLDEST = 14
# An ended session rolls back and goes within milliseconds.
_ENDS_WITHIN_MS = 5000
# What a statement means, and what a value looks like as text, must not depend on the defaults of a server, a database,
# a role or a machine. MDY is how Postgres reads 01/02/2024 by default.
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "client_min_messages": "warning",
}
# How our statements are planned (docs/adr/0015). They join whole tables and what is grouped from them, of which the
# planner has no statistics: it takes thousands of rows for a few, and compares each with each. A hash never costs more
# than a little, and no index that a nested loop might use belongs to us. A statement is planned once and run once, so
# compiling it (a second where it is wide) does not pay either.
_PLANNING = {"enable_nestloop": "off", "jit": "off"}


@dataclass(frozen=True, slots=True)
class PostgresProfile:
    """How to get a session. `options` are libpq's (host, port, user, password, dbname, sslmode, service, …); `retries`
    is how often an attempt that nobody answered is repeated."""

    options: Mapping[str, Any]
    role: str | None = None
    search_path: str | None = None
    retries: int = 1


@dataclass(frozen=True, slots=True)
class PostgresSession:
    """`process`: the server's, where a pooler stands between and might change it; None where none does. `backend`: by
    process number and start, so that no later process of that number is taken for it."""

    connection: psycopg.Connection[Any]
    process: int | None = field(default=None)
    backend: tuple[int, datetime] | None = field(default=None)

    @property
    def major_version(self) -> int:
        return self.connection.info.server_version // 10_000


def open_session(
    profile: PostgresProfile, pause: Callable[[float], None], lost: PostgresSession | None = None
) -> PostgresSession:
    """WarehouseDenied for credentials, ConfigError for a server that is too old or a pooler that pools by transaction,
    WarehouseError where nobody answers. `pause` waits for seconds. `lost`: the session that this one replaces."""
    attempt = 0
    while True:
        try:
            connection = _connected(profile)
            break
        except psycopg.Error as e:
            failure = failures.not_connected(e, profile.options)
        # A refused password is not tried again: servers lock accounts for that.
        if attempt >= profile.retries or isinstance(failure, WarehouseDenied):
            raise failure
        attempt += 1
        pause(float(attempt**2))  # as dbt waits
    try:
        return _made_equal(connection, profile, lost)
    except BaseException as e:
        connection.close()
        if isinstance(e, psycopg.Error):
            raise failures.translated(e) from None
        raise


def reopen_session(
    profile: PostgresProfile,
    pause: Callable[[float], None],
    pauses: Sequence[float],
    lost: PostgresSession | None = None,
) -> PostgresSession:
    """In place of one that was lost: tried again after each of `pauses`, in seconds. Raises as `open_session`."""
    once = PostgresProfile(profile.options, profile.role, profile.search_path, retries=0)
    for seconds in pauses:
        try:
            return open_session(once, pause, lost)
        except WarehouseDenied:
            raise
        except WarehouseError:
            pause(seconds)
    return open_session(once, pause, lost)


def pooled_by_transaction(profile: PostgresProfile) -> ConfigError:
    return ConfigError(
        f"Postgres at {failures.place(profile.options)} is a pooler that pools by transaction, and revetl keeps"
        " temporary tables and cursors from one transaction to the next",
        hint="In profiles.yml name the server's own port, or a pool with pool_mode = session.",
    )


def was_closed(connection: psycopg.Connection[Any]) -> bool:
    """Whether the other side closed a connection that stands idle. Nothing was asked of it since, so whatever comes
    next may be asked of a new one."""
    if connection.closed:
        return True
    link = connection.pgconn
    try:
        while _readable(link.socket):
            link.consume_input()  # fails at the end of the stream
    except psycopg.Error:
        return True
    return link.status != ConnStatus.OK


def _readable(descriptor: int) -> bool:
    if hasattr(select, "poll"):
        watch = select.poll()  # select() knows only the first 1024 descriptors
        watch.register(descriptor, select.POLLIN)
        return bool(watch.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])


def _connected(profile: PostgresProfile) -> psycopg.Connection[Any]:
    # Nothing goes by libpq's `options`, which poolers refuse. A prepared statement breaks when its table is made anew
    # with other columns, as plans are.
    return psycopg.connect(
        **{"application_name": "revetl", **profile.options, "client_encoding": "UTF8"},
        autocommit=True,
        prepare_threshold=None,
    )


def _made_equal(
    connection: psycopg.Connection[Any], profile: PostgresProfile, lost: PostgresSession | None
) -> PostgresSession:
    version = connection.info.server_version
    if version < OLDEST * 10_000:
        spelled = f"{version // 10_000}.{version % 10_000}"
        raise ConfigError(
            f"Postgres at {failures.place(profile.options)} is version {spelled}, and revetl needs {OLDEST} or later"
        )
    between = pooler.stands_between(connection)
    if between and pooler.pools_by_transaction(connection, lambda: _connected(profile)):
        raise pooled_by_transaction(profile)
    if lost is not None and lost.backend is not None:
        _end(connection, lost.backend)  # before `role` is set: a user may end what is his own
    settings = _SETTINGS | _PLANNING
    settings |= {"search_path": profile.search_path} if profile.search_path else {}
    settings |= {"role": profile.role} if profile.role else {}
    calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
    connection.execute(f"SELECT {calls}", [text for pair in settings.items() for text in pair])
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    for type_ in ("json", "jsonb", "uuid"):
        connection.adapters.register_loader(type_, TextLoader)
    return PostgresSession(connection, pooler.server_process(connection) if between else None, _backend(connection))


def _backend(connection: psycopg.Connection[Any]) -> tuple[int, datetime] | None:
    found = connection.execute(
        "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    ).fetchone()
    return None if found is None or found[1] is None else (found[0], found[1])


def _end(connection: psycopg.Connection[Any], backend: tuple[int, datetime]) -> None:
    """A session that was lost on our side may still be at work at the server: a COMMIT of it could come after whoever
    looks whether it took place. So it is ended first, and waited for. WarehouseError where it does not end."""
    pid, started = backend
    still = "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
    found = connection.execute(still, [_ENDS_WITHIN_MS, pid, started]).fetchone()
    if found is not None and not found[0]:
        raise WarehouseError("Postgres: the session that was lost is still at work at the server")
