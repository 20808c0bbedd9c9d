"""The destination: what the engine asks, done in threads by sessions that are kept from one call to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from revetl.clock import Clock
from revetl.destinations.base import Limits, ObjectSchema, Quota, RecordMatch
from revetl.destinations.sql.dialect import SqlDialect, SqlFailure, SqlSession, lost_commit
from revetl.destinations.sql.tables import SqlTable
from revetl.destinations.sql.values import fitted, from_id, normal, shown
from revetl.destinations.sql.writers import SqlWriter, took_place
from revetl.destinations.sql.writing import BatchInTransaction
from revetl.errors import ConfigError
from revetl.model import Change, Outcome, Scalar

T = TypeVar("T")

# Between two attempts. A deadlock goes within milliseconds, a server is there again within a minute or is not.
_PAUSES_S = (0.1, 0.5, 2.0, 8.0, 20.0)
_AGAIN = ("repeat", "lost")


@dataclass(frozen=True, slots=True)
class SqlLimits:
    batch_rows: int
    concurrency: int


class _CommitLost(Exception):
    """The answer to COMMIT never came. `outcomes`: what holds if it took place."""

    def __init__(self, writer: SqlWriter, outcomes: list[Outcome]) -> None:
        super().__init__()
        self.writer, self.outcomes = writer, outcomes


class SqlDestination:
    def __init__(self, name: str, dialect: SqlDialect, limits: SqlLimits, clock: Clock) -> None:
        self.name = name
        self._dialect, self._clock = dialect, clock
        rows = limits.batch_rows
        self._limits = Limits(rows, limits.concurrency, lookup_rows=rows, read_rows=rows)
        self._tables: dict[str, SqlTable] = {}
        self._idle: list[SqlWriter] = []
        self._altered: dict[tuple[str, str], str] = {}  # as BatchInTransaction tells; its threads share it
        self.requests = 0
        self.retries = 0

    def __repr__(self) -> str:
        return f"SqlDestination({self.name!r})"

    async def __aenter__(self) -> SqlDestination:
        return self

    async def __aexit__(self, *exc: object) -> None:
        while self._idle:
            await asyncio.to_thread(self._idle.pop().close)

    async def check(self) -> str:
        return await self._reading(self._dialect.account)

    async def describe(self, object_: str) -> ObjectSchema:
        if object_ not in self._tables:
            self._tables[object_] = await self._reading(lambda session: self._dialect.describe(session, object_))
        return self._tables[object_].schema

    def limits(self, object_: str) -> Limits:
        return self._limits

    def quota(self, object_: str, match_on: str | None) -> Quota:
        return Quota(notes=("a database declares no rate limit",))

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        """As the column keeps it. A field that is no column has its text."""
        column = self._table(object_).columns.get(field)
        return str(value) if column is None else normal(column, value)

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        """By a unique column: a create that is repeated finds the row of the first."""
        column = self._table(object_).columns.get(match_on or "")
        return column is not None and column.unique

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        """One transaction, with the mark of its session in it: repeated where it certainly was not committed. Ambiguous
        only where the answer to COMMIT was lost and the database can't be asked."""
        table = self._table(object_)
        for attempt, pause_s in enumerate((*_PAUSES_S, None), start=1):
            self.requests += 1
            try:
                outcomes = await asyncio.to_thread(self._commit, table, match_on, changes)
            except _CommitLost as lost:
                if await self._took_place(lost.writer):
                    return _attempted(lost.outcomes, attempt)
                failure = SqlFailure("lost", "the connection was lost, and the transaction with it")
            except SqlFailure as e:
                failure = e
            else:
                return _attempted(outcomes, attempt)
            if failure.kind not in _AGAIN or pause_s is None:
                raise failure.as_call_error() from None
            self.retries += 1
            await self._clock.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> Mapping[str, RecordMatch]:
        """A value that the column can't hold stands nowhere."""
        table = self._table(object_)
        column = table.matched(match_on)
        asked = []
        for value in values:
            try:
                asked.append((normal(column, value), fitted(column, value)))
            except ValueError:
                continue
        wanted = [pair for pair in asked if pair[1] is not None]

        def find(session: SqlSession) -> dict[str, RecordMatch]:
            batch = BatchInTransaction(self._dialect, session, table, match_on, self._altered)
            at = batch.find(column, [value for _, value in wanted])
            found = self._read(session, table, list(at.values()), fields)
            ids = {n: normal(table.id, id_) for n, id_ in at.items()}
            return {wanted[n][0]: found[id_] for n, id_ in ids.items() if id_ in found}

        return await self._reading(find) if wanted else {}

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RecordMatch]:
        table = self._table(object_)
        values = [from_id(table.id, id_) for id_ in ids]
        return await self._reading(lambda session: self._read(session, table, values, fields)) if values else {}

    async def probe(self, object_: str, match_on: str | None) -> list[str]:
        """Statements that reach no row: rights are checked all the same."""
        await self.describe(object_)
        table = self._table(object_)
        names = [self._dialect.quote(column.name) for column in table.columns.values() if not column.generated]
        every, name = ", ".join(names), names[-1]
        statements = {
            "SELECT": f"SELECT {name} FROM {table.quoted} WHERE 1 = 0 FOR UPDATE",
            "INSERT": f"INSERT INTO {table.quoted} ({every}) SELECT {every} FROM {table.quoted} WHERE 1 = 0",
            "UPDATE": f"UPDATE {table.quoted} SET {name} = {name} WHERE 1 = 0",
            "DELETE": f"DELETE FROM {table.quoted} WHERE 1 = 0",
        }

        def tried(session: SqlSession) -> list[str]:
            missing = []
            for right, statement in statements.items():
                try:
                    session.ask(statement)
                except SqlFailure as e:
                    if e.kind != "denied":
                        raise
                    missing.append(f"the right {right} on {table.name}")
                session.rollback()
            return missing

        return await self._reading(tried)

    def _commit(self, table: SqlTable, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        """One attempt, in a thread. SqlFailure: it was certainly not committed."""
        writer = self._taken()
        try:
            writer.begin()
            batch = BatchInTransaction(self._dialect, writer.session, table, match_on, self._altered)
            outcomes = batch.apply(changes)
        except BaseException as e:
            # What failed otherwise than we know may have left anything behind.
            self._put_back(writer, reusable=isinstance(e, SqlFailure) and e.kind not in ("lost", "denied"))
            raise
        try:
            writer.session.commit()
        except SqlFailure as e:
            if e.kind == "lost":
                writer.session.close()
                raise _CommitLost(writer, outcomes) from None
            self._put_back(writer, reusable=True)  # a constraint that is checked at the end: nothing stands
            raise
        except BaseException:
            writer.session.close()
            raise
        self._idle.append(writer)
        return outcomes

    def _put_back(self, writer: SqlWriter, *, reusable: bool) -> None:
        """Its transaction rolled back."""
        try:
            if reusable:
                writer.session.rollback()
                self._idle.append(writer)
                return
        except SqlFailure:
            pass  # the session is gone as well, and its transaction with it
        writer.session.close()

    async def _took_place(self, writer: SqlWriter) -> bool:
        for pause_s in (*_PAUSES_S, None):
            try:
                return await asyncio.to_thread(took_place, self._dialect, writer)
            except SqlFailure:
                if pause_s is None:
                    break
                await self._clock.sleep(pause_s)
        raise lost_commit()

    async def _reading(self, work: Callable[[SqlSession], T]) -> T:
        """Reads, in a thread, once more on a new session where the old one was closed."""
        for pause_s in (*_PAUSES_S, None):
            self.requests += 1
            try:
                return await asyncio.to_thread(self._read_once, work)
            except SqlFailure as e:
                if e.kind not in _AGAIN or pause_s is None:
                    raise e.as_call_error() from None
            self.retries += 1
            await self._clock.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def _read_once(self, work: Callable[[SqlSession], T]) -> T:
        writer = self._taken()
        try:
            result = work(writer.session)
            writer.session.rollback()
        except BaseException:
            writer.close()
            raise
        self._idle.append(writer)
        return result

    def _taken(self) -> SqlWriter:
        """A session that nobody uses. What its opening reads of the environment (libpq's variables) is the driver's."""
        try:
            return self._idle.pop()
        except IndexError:
            return SqlWriter(self._dialect.open(), self._dialect.marks())

    def _read(
        self, session: SqlSession, table: SqlTable, ids: Sequence[object], fields: Sequence[str]
    ) -> dict[str, RecordMatch]:
        """By the id as text."""
        if not ids:
            return {}
        columns = [table.columns[name] for name in fields if name in table.columns]
        shown_ = [column.read.format(name=self._dialect.quote(column.name)) for column in (table.id, *columns)]
        rows = session.ask(
            f"""
            SELECT {", ".join(shown_)}
            FROM {table.quoted}
            WHERE {self._dialect.quote(table.id.name)} IN ({", ".join([table.id.written] * len(ids))})
            """,
            ids,
        )
        found = {}
        for id_, *stored in rows:
            text = normal(table.id, id_)
            values = {column.name: shown(column, value) for column, value in zip(columns, stored, strict=True)}
            found[text] = RecordMatch(text, values)
        return found

    def _table(self, object_: str) -> SqlTable:
        if object_ not in self._tables:
            raise ConfigError(f"{self.name}: {object_} was not described")
        return self._tables[object_]


def _attempted(outcomes: list[Outcome], attempts: int) -> list[Outcome]:
    for outcome in outcomes:
        outcome.attempts = attempts
    return outcomes
