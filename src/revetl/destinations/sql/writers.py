"""Sessions with their marks: whether a lost COMMIT took place.

Each session has one row in `revetl_marks`. A transaction counts it up with its first statement, and from then on holds
the row's lock. Where the answer to COMMIT is lost another session reads that row FOR UPDATE: it waits until the server
has ended the lost transaction, so what it reads is certain. Without the lock a COMMIT that is still at work would be
taken for one that never came.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from revetl.destinations.sql.dialect import SqlDialect, SqlFailure, SqlSession


@dataclass(slots=True)
class SqlWriter:
    """One session and its mark: `writer` names the row, None as long as nothing was written by it; `batch` counts its
    transactions."""

    session: SqlSession
    marks: str
    writer: str | None = None
    batch: int = 0

    def begin(self) -> None:
        """A transaction that is marked. SqlFailure `repeat` where somebody has removed the row."""
        if self.writer is None:
            self.writer = self._new_mark()
        self.batch += 1
        self.session.ask(f"UPDATE {self.marks} SET batch = %s WHERE writer = %s", [self.batch, self.writer])
        if not self.session.ask(f"SELECT batch FROM {self.marks} WHERE writer = %s", [self.writer]):
            self.writer = None
            raise SqlFailure("repeat", f"the mark of this session is gone from {self.marks}")

    def close(self) -> None:
        """Takes its mark along where that is still possible. What a killed process leaves is one row."""
        with suppress(SqlFailure):
            if self.writer is not None:
                self.session.rollback()
                self.session.ask(f"DELETE FROM {self.marks} WHERE writer = %s", [self.writer])
                self.session.commit()
        self.session.close()

    def _new_mark(self) -> str:
        """Committed before anything is written."""
        writer = uuid4().hex
        if not self._has_marks():
            self._make_marks()
        self.session.ask(f"INSERT INTO {self.marks} (writer, batch) VALUES (%s, 0)", [writer])
        self.session.commit()
        return writer

    def _has_marks(self) -> bool:
        try:
            self.session.ask(f"SELECT batch FROM {self.marks} WHERE 1 = 0")
        except SqlFailure as e:
            if e.kind != "denied":
                raise
            self.session.rollback()
            return False
        return True

    def _make_marks(self) -> None:
        """Another session may do it at the same moment. PostgreSQL's IF NOT EXISTS does not see what is made and not
        committed: it waits for that transaction, and is then refused, by one of three errors (42P07, 42710, 23505), for
        a name that is taken. So whatever refuses: a table that stands now is the one."""
        try:
            self.session.ask(
                f"""
                CREATE TABLE IF NOT EXISTS {self.marks} (
                  writer varchar(32) NOT NULL PRIMARY KEY,
                  batch bigint NOT NULL,
                  made_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
                )
                """
            )
        except SqlFailure as e:
            if e.kind not in ("rejected", "denied"):
                raise
            self.session.rollback()
            if not self._has_marks():
                raise
        else:
            self.session.commit()


def took_place(dialect: SqlDialect, lost: SqlWriter) -> bool:
    """Whether the last transaction of this writer, whose session is gone, was committed. SqlFailure where it is not to
    be told now. Repeating is safe."""
    session = dialect.open()
    try:
        found = session.ask(f"SELECT batch FROM {lost.marks} WHERE writer = %s FOR UPDATE", [lost.writer])
        session.rollback()
    finally:
        session.close()
    if not found:
        raise SqlFailure("unavailable", f"the mark of a lost session is gone from {lost.marks}")
    return int(found[0][0]) == lost.batch
