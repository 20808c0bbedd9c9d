"""The driver's errors as ours: without values, without passwords, with what helps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import errors as pg

from revetl.errors import WarehouseConflict, WarehouseDenied, WarehouseError, WarehouseFull, WarehouseLost

# serialization_failure and deadlock_detected: the manual (13.5) says to repeat the whole transaction.
_CONFLICTS = ("40001", "40P01")
# The session is gone: an administrator ended it, the server stops or crashed, it stood idle for too long (the manual,
# appendix A). Class 08 is the connection itself, and what poolers answer with.
_LOST = ("57P01", "57P02", "57P03", "57P05", "25P03")
_QUOTED = re.compile(r'"[^"]*"|\'[^\']*\'')
_LONGEST_REASON = 300

GRANTS = "docs/guides/permissions.md lists what the user needs."
_WHERE_FROM = "A password comes from `password` in profiles.yml, PGPASSWORD, a service file or ~/.pgpass (mode 0600)."
# libpq gives no code where no session came about, only text. The first that is found counts; True: credentials.
_NOT_CONNECTED: tuple[tuple[re.Pattern[str], bool, str], ...] = (
    (
        re.compile(r"password authentication failed|no password supplied|SASL|authentication failed"),
        True,
        _WHERE_FROM,
    ),
    (re.compile(r"no pg_hba\.conf entry|pg_hba\.conf rejects"), True, "The server's pg_hba.conf decides who comes in."),
    (re.compile(r"role .* does not exist|is not permitted to log in|no such user"), True, ""),
    (re.compile(r"permission denied for database"), True, "GRANT CONNECT ON DATABASE … TO the user."),
    (
        re.compile(r"certificate|private key|sslrootcert|SSL|ssl"),
        False,
        "sslmode, sslcert, sslkey and sslrootcert of the target in profiles.yml say how the connection is secured.",
    ),
    (re.compile(r"definition of service"), False, "Services stand in ~/.pg_service.conf, or where PGSERVICEFILE says."),
    (re.compile(r"too many (clients|connections)|connection slots"), False, "Close some, or raise max_connections."),
    (re.compile(r"[Uu]nsupported startup parameter"), False, "A pooler stands in between: name the server's own port."),
)


def is_lost(e: psycopg.Error, connection: psycopg.Connection[Any]) -> bool:
    """Whether the session is gone with this error."""
    state = e.sqlstate or ""
    return connection.closed or state in _LOST or state.startswith("08")


def translated(e: psycopg.Error) -> WarehouseError:
    """The server's first line only: its detail shows rows. What a data exception (class 22) quotes may be a customer's
    value, so it goes; elsewhere the names of tables and columns are quoted, which help."""
    text = f"Postgres: {_first_line(e)}"
    if e.sqlstate in _CONFLICTS:
        return WarehouseConflict(text)
    if isinstance(e, pg.DiskFull):
        return WarehouseFull(text)
    if isinstance(e, pg.InsufficientPrivilege):
        return WarehouseError(f"{text}\n    {GRANTS}")
    return WarehouseError(text)


def lost(e: psycopg.Error, *, in_doubt: bool) -> WarehouseLost:
    """`in_doubt`: a write or a COMMIT was on its way, and may have been done."""
    doubt = "; what it was asked last may have been done" if in_doubt else ""
    return WarehouseLost(f"Postgres: the connection was lost{doubt}: {_first_line(e)}", in_doubt=in_doubt)


def not_connected(e: psycopg.Error, options: Mapping[str, Any]) -> WarehouseError:
    """With the driver's own reason, which names host, user, database and files; a password that it might repeat is
    taken out."""
    reason = _reason(e, str(options.get("password") or ""))
    if isinstance(e, pg.ConnectionTimeout):
        return WarehouseError(f"Postgres at {place(options)} can't be reached: {reason}")
    plain = _QUOTED.sub("…", reason)  # a host, a role or a file may have any of these words in its name
    for sign, denied, hint in _NOT_CONNECTED:
        if sign.search(plain):
            more = f"\n    {hint}" if hint else ""
            if denied:
                return WarehouseDenied(
                    f"Postgres at {place(options)} refuses the user {options.get('user')!r}: {reason}{more}"
                )
            return WarehouseError(f"Postgres at {place(options)} can't be reached: {reason}{more}")
    if re.search(r"database .* does not exist|no such database", plain):
        return WarehouseError(f"Postgres at {place(options)} has no database {options.get('dbname')!r}")
    return WarehouseError(f"Postgres at {place(options)} can't be reached: {reason}")


def place(options: Mapping[str, Any]) -> str:
    """Where the server is, as a message names it."""
    if options.get("service") and not options.get("host"):
        return f"service {options['service']!r}"
    return f"{options.get('host') or 'the local socket'}:{options.get('port') or 5432}"


def _first_line(e: psycopg.Error) -> str:
    text = e.diag.message_primary or (str(e).splitlines() or [type(e).__name__])[0]
    return _QUOTED.sub("…", text) if e.sqlstate is None or e.sqlstate.startswith("22") else text


def _reason(e: psycopg.Error, password: str) -> str:
    """The last attempt's first line: where several addresses were tried the last one says what came of it."""
    lines = [line.strip() for line in str(e).splitlines() if line.strip()] or [type(e).__name__]
    text = lines[0].removeprefix("connection failed: ").removeprefix("connection is bad: ")
    text = re.sub(r"(FATAL|ERROR):\s+", "", text)
    if password:
        text = text.replace(password, "…")
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "…"
