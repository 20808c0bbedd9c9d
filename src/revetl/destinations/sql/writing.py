"""One batch inside one transaction. Rows are found and locked by their key first, then written: an upsert clause of the
database would take any unique column for the key (MySQL), or name one conflict only (PostgreSQL).

A row that holds the values already is not written again, so a repeat fires no trigger and moves no timestamp.

What is equal is for the database to say: to many collations `ann` and `ANN` are one, and to a unique column as well. So
a create never writes over a row that stands under another text than its own: it is refused. A row with the very same
value is taken for the record's own, of an earlier attempt or made since it was looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from revetl.destinations.sql.dialect import SqlDialect, SqlFailure, SqlSession
from revetl.destinations.sql.tables import SqlTable, TableColumn
from revetl.destinations.sql.values import bound, from_id, normal
from revetl.model import Change, Operation, Outcome, Status

_MOST_VALUES = 20_000  # of one INSERT; PostgreSQL takes 65,535


@dataclass(frozen=True, slots=True)
class _Row:
    """A change with its values as the columns take them. `key`: the value of `match_on`."""

    change: Change
    values: Mapping[str, Any]
    key: Any = None
    id: Any = None


@dataclass(frozen=True, slots=True)
class _Standing:
    """Position of a value → the id of the row that has it. `same`: the row holds the value as it was asked for;
    `equal`: it holds another one, which the database takes for equal."""

    same: Mapping[int, Any]
    equal: Mapping[int, Any]


class BatchInTransaction:
    """`apply` gives one outcome per change. SqlFailure: nothing of the transaction may be committed.

    `altered`: table and id → the key of the record, of rows that were created and whose value of `match_on` the
    database altered on the way in. It outlives the batch: another record may be sent with the value that stands there
    now, which the plan could not foresee. Of two records with one value the plan has withheld the second already.
    """

    def __init__(
        self,
        dialect: SqlDialect,
        session: SqlSession,
        table: SqlTable,
        match_on: str | None,
        altered: MutableMapping[tuple[str, str], str],
    ) -> None:
        self._dialect, self._session, self._table = dialect, session, table
        self._altered = altered
        self._created: dict[str, str] = {}  # in this transaction: id → the key of the record
        self._key = table.matched(match_on) if match_on is not None else None
        self._id = dialect.quote(table.id.name)

    def apply(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes, rows = [], []
        for change in changes:
            try:
                rows.append(self._row(change))
            except ValueError as e:
                outcomes.append(_refused(change, str(e), "INVALID_VALUE", in_row=True))
        if not rows:
            return outcomes
        op = changes[0].op
        do = {Operation.CREATE: self._create, Operation.UPDATE: self._update, Operation.DELETE: self._delete}[op]
        return outcomes + self._together_or_alone(do, rows)

    def find(self, column: TableColumn, values: Sequence[Any], *, lock: bool = False) -> dict[int, Any]:
        """Position of a value → the id of the row that has it, by the database's own idea of what is equal."""
        standing = self._standing(column, values, lock=lock)
        return {**standing.same, **standing.equal}

    def _standing(self, column: TableColumn, values: Sequence[Any], *, lock: bool = False) -> _Standing:
        if not values:
            return _Standing({}, {})
        quoted, ids = self._dialect.quote(column.name), column.read.format(name=self._dialect.quote(column.name))
        found = self._session.ask(
            f"""
            SELECT {self._table.id.read.format(name=self._id)}, {ids}
            FROM {self._table.quoted}
            WHERE {quoted} IN ({", ".join([column.written] * len(values))})
            ORDER BY {self._id}
            {"FOR UPDATE" if lock else ""}
            """,
            list(values),
        )
        by_form = {normal(column, value): id_ for id_, value in found}
        forms = [normal(column, value) for value in values]
        same = {n: by_form[form] for n, form in enumerate(forms) if form in by_form}
        equal = {}
        if len(set(by_form) - set(forms)):
            # Equal to the database and not to us, as capitals are under many collations.
            for n in range(len(values)):
                if n not in same and (one := self._one(column, values[n], lock=lock)):
                    equal[n] = one[0]
        return _Standing(same, equal)

    def _one(self, column: TableColumn, value: Any, *, lock: bool) -> list[Any]:
        found = self._session.ask(
            f"""
            SELECT {self._table.id.read.format(name=self._id)}
            FROM {self._table.quoted}
            WHERE {self._dialect.quote(column.name)} = {column.written}
            {"FOR UPDATE" if lock else ""}
            """,
            [value],
        )
        return [row[0] for row in found]

    def _row(self, change: Change) -> _Row:
        columns = self._table.columns
        values = {name: bound(columns[name], value) for name, value in change.fields.items()}
        key = bound(self._key, change.match_value) if self._key is not None else None
        if change.op is Operation.CREATE and self._key is not None and key is not None:
            values.setdefault(self._key.name, key)
        id_ = from_id(self._table.id, change.destination_id) if change.destination_id is not None else None
        return _Row(change, values, key, id_)

    def _together_or_alone(self, do: Callable[[Sequence[_Row]], list[Outcome]], rows: Sequence[_Row]) -> list[Outcome]:
        """All of them at once; where one is refused, each by itself, so that it costs no other."""
        try:
            with self._savepoint():
                return do(rows)
        except SqlFailure as e:
            if e.kind != "rejected":
                raise
            if len(rows) == 1:
                return [_refused(rows[0].change, str(e), e.code, in_row=e.in_row)]
        return [outcome for row in rows for outcome in self._together_or_alone(do, [row])]

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        self._session.ask("SAVEPOINT revetl")
        try:
            yield
        except SqlFailure as e:
            if e.kind == "rejected":
                self._session.ask("ROLLBACK TO SAVEPOINT revetl")
            raise
        self._session.ask("RELEASE SAVEPOINT revetl")

    def _create(self, rows: Sequence[_Row]) -> list[Outcome]:
        if self._key is None:
            return [self._insert_alone(row) for row in rows]
        keyed = [row for row in rows if row.key is not None]
        if len(keyed) < len(rows):
            raise SqlFailure("rejected", f"{self._key.name} is null, so no row is found by it", "NO_KEY", in_row=True)
        keys = [row.key for row in rows]
        standing = self._standing(self._key, keys, lock=True)
        new = {n: row for n, row in enumerate(rows) if n not in standing.same and n not in standing.equal}
        try:
            for group in _by_columns([*new.values()]):
                self._session.ask(*self._insertion(group))
        except SqlFailure as e:
            # Another session inserted the same key meanwhile: it stands now, so it is found.
            if len(rows) > 1 or not e.unique:
                raise
            self._session.ask("ROLLBACK TO SAVEPOINT revetl")
            standing, new = self._standing(self._key, keys, lock=True), {}
            if not standing.same and not standing.equal:
                raise
        refused = {}
        for n, id_ in {**standing.same, **standing.equal}.items():
            holder, key = self._holder(id_), rows[n].change.key
            if holder != key and (holder is not None or n in standing.equal):
                refused[n] = self._exists(rows[n], holder)
            elif not self._set(id_, rows[n].values):
                refused[n] = _suppressed(rows[n].change)
        after = self._standing(self._key, keys)
        self._remember(new, after)
        ids = {**after.same, **after.equal}
        return [refused[n] if n in refused else self._done(row, ids.get(n)) for n, row in enumerate(rows)]

    def _remember(self, new: Mapping[int, _Row], after: _Standing) -> None:
        """Before COMMIT: a session that waited for this transaction must find it. What is rolled back harms nobody, for
        the same record may be written again."""
        for n, row in new.items():
            if n in after.same:
                self._created[normal(self._table.id, after.same[n])] = row.change.key
            elif n in after.equal:
                self._altered[self._table.name, normal(self._table.id, after.equal[n])] = row.change.key

    def _holder(self, id_: Any) -> str | None:
        """The key of the record that this row was created for, as far as it is remembered."""
        text = normal(self._table.id, id_)
        return self._created.get(text) or self._altered.get((self._table.name, text))

    def _exists(self, row: _Row, holder: str | None) -> Outcome:
        whose = "another row" if holder is None else f"{holder} of this model"
        name = self._key.name if self._key else "key"
        message = f"to the database its {name} is equal to that of {whose}, which is not overwritten"
        return _refused(row.change, message, "EXISTS")

    def _insertion(self, rows: Sequence[_Row]) -> tuple[str, list[Any]]:
        names = list(rows[0].values)
        columns = [self._table.columns[name] for name in names]
        one = "(" + ", ".join(column.written for column in columns) + ")"
        sql = f"""
            INSERT INTO {self._table.quoted} ({", ".join(map(self._dialect.quote, names))})
            VALUES {", ".join([one] * len(rows))}
            """
        return sql, [value for row in rows for value in row.values.values()]

    def _insert_alone(self, row: _Row) -> Outcome:
        """Without a key nothing is found again, so the id is what the model gives or what the database made of it."""
        given = self._dialect.insert_for_id(self._session, self._table, *self._insertion([row]))
        sent = row.values.get(self._table.id.name)
        return self._done(row, sent if sent is not None else given)

    def _update(self, rows: Sequence[_Row]) -> list[Outcome]:
        stands = self.find(self._table.id, [row.id for row in rows], lock=True)
        outcomes = []
        for n in sorted(range(len(rows)), key=lambda n: str(rows[n].id)):
            row = rows[n]
            if n not in stands:
                outcomes.append(_refused(row.change, "no row has this id any more", "NOT_FOUND"))
                continue
            if not self._set(row.id, row.values):
                outcomes.append(_suppressed(row.change))
                continue
            outcomes.append(self._done(row, row.values.get(self._table.id.name, row.id)))
        return outcomes

    def _set(self, id_: Any, values: Mapping[str, Any]) -> bool:
        """Only where a value differs. Whether the row was written or holds the values already: a trigger or a policy
        may keep it as it is, without an error."""
        if not values:
            return True
        columns = [(self._dialect.quote(name), self._table.columns[name]) for name in values]
        sets = ", ".join(f"{name} = {column.written}" for name, column in columns)
        same = " AND ".join(self._same(name, column) for name, column in columns)
        given = list(values.values())
        changed = self._session.change(
            f"""
            UPDATE {self._table.quoted}
            SET {sets}
            WHERE {self._id} = {self._table.id.written}
              AND NOT ({same})
            """,
            [*given, id_, *given],
        )
        if changed:
            return True
        holds = self._session.ask(
            f"""
            SELECT 1
            FROM {self._table.quoted}
            WHERE {self._id} = {self._table.id.written}
              AND {same}
            """,
            [id_, *given],
        )
        return bool(holds)

    def _same(self, name: str, column: TableColumn) -> str:
        """As bytes where equal texts may differ: capitals and blanks at the end, under some collations."""
        ours, theirs = (column.compared.format(value=value) for value in (column.written, name))
        return f"{theirs} {self._dialect.same} {ours}"

    def _delete(self, rows: Sequence[_Row]) -> list[Outcome]:
        by_id = [row for row in rows if row.id is not None]
        by_key = [row for row in rows if row.id is None and row.key is not None]
        for column, values in ((self._table.id, [r.id for r in by_id]), (self._key, [r.key for r in by_key])):
            if column is not None and values:
                self._session.ask(
                    f"""
                    DELETE FROM {self._table.quoted}
                    WHERE {self._dialect.quote(column.name)} IN ({", ".join([column.written] * len(values))})
                    """,
                    values,
                )
        left = self.find(self._table.id, [row.id for row in by_id])
        kept = {by_id[n].change.ordinal for n in left}
        return [
            _unanswered(row.change) if row.change.ordinal in kept else self._done(row, row.id, gone=True)
            for row in rows
        ]

    def _done(self, row: _Row, id_: Any, *, gone: bool = False) -> Outcome:
        if id_ is None and not gone:
            return _unanswered(row.change)
        text = normal(self._table.id, id_) if id_ is not None else None
        return Outcome(row.change.ordinal, Status.OK, text)


def _by_columns(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Rows that name the same columns, at most as many as one statement takes."""
    groups: dict[tuple[str, ...], list[_Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.values), []).append(row)
    for names, group in groups.items():
        size = max(1, _MOST_VALUES // max(1, len(names)))
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _refused(change: Change, message: str, code: str | None, *, in_row: bool = False) -> Outcome:
    return Outcome(change.ordinal, Status.REJECTED, None, "Rejected", code, message, in_row=in_row)


def _suppressed(change: Change) -> Outcome:
    message = "the database left the row as it is, without an error: a trigger, a rule or a policy of the table?"
    return _refused(change, message, "SUPPRESSED")


def _unanswered(change: Change) -> Outcome:
    """The statement went through, and the table is not as it says: a trigger may have kept the row from it."""
    message = "the database took the row, and it does not stand as written: a trigger or a rule of the table?"
    return Outcome(change.ordinal, Status.UNKNOWN, None, "Unanswered", None, message)
