"""What a database is asked for. Everything here blocks, so it is called in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from revetl.destinations.sql.tables import SqlTable
from revetl.errors import Ambiguous, CallError, Denied, Rejected, Throttled, Unavailable

# repeat: the transaction was rolled back, and the same may go through. lost: the connection is gone; what was committed
# before stands, and of a COMMIT that was on its way nobody knows.
FailureKind = Literal["rejected", "denied", "throttled", "repeat", "unavailable", "lost"]

_ERRORS: Mapping[FailureKind, type[CallError]] = {
    "rejected": Rejected,
    "denied": Denied,
    "throttled": Throttled,
    "repeat": Unavailable,
    "unavailable": Unavailable,
    "lost": Unavailable,
}


class SqlFailure(Exception):
    """A statement failed. `code`: the database's own. `constraint`: the name of the one that was in the way, and
    `unique` whether another row has the value. `in_row`: because of a value that this column never takes. The message
    holds no value."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        code: str | None = None,
        *,
        constraint: str | None = None,
        unique: bool = False,
        in_row: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.constraint = constraint
        self.unique = unique
        self.in_row = in_row

    def as_call_error(self) -> CallError:
        """As the engine knows it. Nothing of the transaction was applied."""
        error = _ERRORS[self.kind](str(self), code=self.code)
        if isinstance(error, Rejected):
            error.in_row = self.in_row
        return error


class SqlSession(Protocol):
    """One connection. A transaction begins with the first statement. Raises SqlFailure, and nothing of the driver's."""

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows, none where the statement gives none. `%s` stands for each value."""
        ...

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """How many rows an UPDATE found and was let write, also where they held the values already."""
        ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None:
        """Raises nothing."""
        ...


class SqlDialect(Protocol):
    """One kind of database at one address."""

    same: str
    """An operator that says whether two values are equal, null and null being so."""

    def open(self) -> SqlSession: ...

    def quote(self, name: str) -> str:
        """An identifier in a statement with `%s`, quoted whatever it holds."""
        ...

    def insert_for_id(self, session: SqlSession, table: SqlTable, sql: str, values: Sequence[Any]) -> Any:
        """Runs an INSERT of one row; the id that the database gave it. None where it does not say."""
        ...

    def marks(self) -> str:
        """The table of marks, quoted."""
        ...

    def account(self, session: SqlSession) -> str:
        """A line for people: which server, as whom, with TLS or without."""
        ...

    def describe(self, session: SqlSession, name: str) -> SqlTable:
        """ConfigError where there is no such table, or where it can't be written to safely."""
        ...


def lost_commit() -> Ambiguous:
    return Ambiguous("the connection was lost during COMMIT, and the database was not reached again to ask")
