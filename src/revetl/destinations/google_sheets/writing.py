"""Rows are written where they stand at that moment, and the answer is held against it.

People sort, insert and delete rows while a run goes on, and Google has no write on condition. So the key column is read
right before each write, and what was written is seen to be where it should: the answer to a write of values shows the
whole row as it then is, with its key. Where another row was met, its values are put back and ours are sent again.
docs/design/google-sheets.md says what is left.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from revetl.destinations.google_sheets.a1 import first_cell, row_until, whole_row
from revetl.destinations.google_sheets.api import READS, WRITES, SheetsApi
from revetl.destinations.google_sheets.reading import Tab, TabReader, TabView, header_of
from revetl.destinations.google_sheets.rows import DUPLICATE_KEY, NOT_FOUND, SheetRow, row_of_change
from revetl.destinations.google_sheets.values import Cell, form
from revetl.errors import Ambiguous, CallError, Rejected, Throttled, Unavailable
from revetl.model import Change, Operation, Outcome

log = logging.getLogger("revetl.google_sheets")

_ROUNDS = 5  # rows that move in front of each of so many writes do so without end
_REFUSED = 30  # times ten seconds: as long as any other session waits for a vendor that throttles
_MOVED = "ROW_MOVED"
_NOBODY = "\0"  # no key is so called
_UNANSWERED = "the answer does not say what became of it"


@dataclass(frozen=True, slots=True)
class _Displaced:
    """Values of another row that ours took the place of. `sent`: what we wrote there, as it is compared."""

    key: str
    before: Mapping[str, Cell]
    sent: Mapping[str, str]


class TabWriter:
    """One call of `write` on one tab. `outcomes` has what is known so far, `_pending` the rest."""

    def __init__(self, api: SheetsApi, reader: TabReader, tab: Tab) -> None:
        self._api, self._reader, self._tab = api, reader, tab
        self.outcomes: list[Outcome] = []
        self._pending: dict[int, SheetRow] = {}
        self._displaced: list[_Displaced] = []
        self._applied = False

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Raises as `Destination.write`."""
        for change in changes:
            try:
                self._pending[change.ordinal] = row_of_change(self._api.name, self._tab.key, change)
            except Rejected as e:
                self.outcomes.append(SheetRow("", {}, change).refused(str(e.code), str(e), in_row=e.in_row))
        try:
            await self._rounds()
        except CallError as e:
            if not self._applied and not isinstance(e, Ambiguous):
                raise
            self._answer(row.unsure(e) for row in list(self._pending.values()))
        for left in self._displaced:
            log.warning("%s: the cells %s of a row could not be put back", self._api.name, sorted(left.before))
        return self.outcomes

    async def _rounds(self) -> None:
        written, refused, limit = 0, 0, READS
        while (self._pending or self._displaced) and written < _ROUNDS:
            names = {name for row in self._pending.values() for name in row.cells}
            names |= {name for other in self._displaced for name in other.before}
            view = await self._reader.read(self._tab, names, limit)
            try:
                await self._send(view)
            except (Throttled, Unavailable) as e:
                # Certainly not applied. The next question waits where the next write would have to.
                refused, limit = refused + 1, WRITES
                if refused >= (_REFUSED if isinstance(e, Throttled) else _ROUNDS):
                    raise
            else:
                written += 1
        why = "its row was moved each time that it was written"
        self._answer(row.unknown(_MOVED, why, "Moved") for row in list(self._pending.values()))

    async def _send(self, view: TabView) -> None:
        standing, new = list[tuple[int, SheetRow]](), list[SheetRow]()
        for row in list(self._pending.values()):
            at, refusal = view.rows.get(row.key), self._refusal(view, row)
            if refusal is not None:
                self._answer([refusal])
            elif at is not None:
                standing.append((at, row))
            elif row.op is Operation.CREATE:
                new.append(row)
            elif row.op is Operation.DELETE:
                self._answer([row.done(self._tab.key)])
            else:
                self._answer([row.refused(NOT_FOUND, "no row has this key any more")])
        if standing and standing[0][1].op is Operation.DELETE:
            await self._delete(standing)
            return
        displaced, self._displaced = self._displaced, []
        try:
            await self._put(view, [*standing, *self._put_back(view, displaced)])
        except CallError:
            self._displaced = displaced
            raise
        if new:
            await self._append(view, new)

    def _refusal(self, view: TabView, row: SheetRow) -> Outcome | None:
        new_key = form(row.cells.get(self._tab.key, row.key))
        for key in dict.fromkeys((row.key, new_key)):
            if key in view.repeated:
                where = ", ".join(map(str, view.repeated[key]))
                why = f"its key stands in several rows ({where}), and which of them is meant is not known"
                return row.refused(DUPLICATE_KEY, why)
        if new_key != row.key and new_key in view.rows:
            return row.refused(DUPLICATE_KEY, f"row {view.rows[new_key]} has the new key already")
        if lost := sorted(set(row.cells) - set(view.header)):
            return row.refused("UNKNOWN_COLUMN", f"the first row names no column {lost[0]!r}, or names it twice")
        return None

    async def _put(self, view: TabView, rows: Sequence[tuple[int, SheetRow]]) -> None:
        """Cells of rows that stand. A key that stands is not written: then the answer shows whose row was met."""
        if not rows:
            return
        sent = [(at, SheetRow(row.key, self._new_cells(row), row.change)) for at, row in rows]
        answer = await self._api.put([self._range(view, at, row) for at, row in sent])
        self._applied = True
        met = _keys_met(answer, view.header[self._tab.key])
        after = view
        if any(met.get(at, "") is None for at, _ in sent):
            after = await self._reader.read(self._tab, ())
        for at, row in sent:
            if at not in met:
                self._answer([row.unknown(None, _UNANSWERED)] if row.change else ())
                continue
            key = met[at]
            if key is None:  # not shown: it stands where it stood before, or is met by nobody knows whom
                key = row.key if after.rows.get(row.key) == at else _NOBODY
            if key in (row.key, form(row.cells.get(self._tab.key, row.key))):
                self._answer([row.done(self._tab.key, existed=True)] if row.change else ())
            else:
                self._missed(view, at, row, key)

    def _new_cells(self, row: SheetRow) -> dict[str, Cell]:
        return {n: value for n, value in row.cells.items() if n != self._tab.key or form(value) != row.key}

    def _range(self, view: TabView, at: int, row: SheetRow) -> dict[str, Any]:
        """From the first cell of the row to the last that is written, with the key among them; null is left as it is
        (docs)."""
        columns = {view.header[name]: value for name, value in row.cells.items()}
        last = max([*columns, view.header[self._tab.key]])
        return {
            "range": row_until(self._tab.title, at, last),
            "values": [[columns.get(n) for n in range(last + 1)]],
        }

    def _missed(self, view: TabView, at: int, row: SheetRow, met: str) -> None:
        """Row `at` was another's by then. What it held was read with the key column; it is put back in the next round,
        and the row stays pending."""
        if row.change is None:
            self._displaced.append(_Displaced(row.key, row.cells, {}))
        sent = {name: form(value) for name, value in row.cells.items()}
        if met == "":
            self._displaced.append(_Displaced("", dict.fromkeys(sent, ""), sent))
        elif (there := view.rows.get(met)) is not None and met not in view.repeated:
            before = {name: "" if (v := view.value(there, name)) is None else v for name in sent}
            self._displaced.append(_Displaced(met, before, sent))
        elif row.change is None:
            log.warning("%s: row %d was moved while it was written, and holds what is another's", self._api.name, at)
        else:
            why = f"rows were moved while they were written: row {at} was another one, and holds what was sent"
            self._answer([row.unknown(_MOVED, why, "Moved")])

    def _put_back(self, view: TabView, displaced: Iterable[_Displaced]) -> list[tuple[int, SheetRow]]:
        """What was overwritten, unless somebody wrote there since, or we are about to."""
        ours = {row.key: row.cells for row in self._pending.values()}
        rows = []
        for other in displaced:
            at = view.rows.get(other.key) if other.key else self._without_key(view, other.sent)
            if at is None or other.key in view.repeated:
                continue
            still = {
                name: value
                for name, value in other.before.items()
                if name in view.header
                and name not in ours.get(other.key, ())
                and other.sent.get(name) in (None, form(view.value(at, name)))
            }
            if still:
                rows.append((at, SheetRow(other.key, still)))
        return rows

    def _without_key(self, view: TabView, sent: Mapping[str, str]) -> int | None:
        """The row that has no key and holds what we wrote into one that had none."""
        last = max((len(values) for values in view.columns.values()), default=0)
        for at in range(2, last + 1):
            if not form(view.value(at, self._tab.key)) and all(
                form(view.value(at, name)) == value for name, value in sent.items() if name in view.columns
            ):
                return at
        return None

    async def _append(self, view: TabView, rows: Sequence[SheetRow]) -> None:
        """Below the last row, wherever that is when Google does it (docs): nothing is overwritten."""
        cells = [_cells(view, row) for row in rows]
        request = {"sheetId": self._tab.id, "rows": cells, "fields": "userEnteredValue"}
        answer = await self._api.change([{"appendCells": request}], whole_row(self._tab.title, 1))
        self._applied = True
        replies = answer.get("replies")
        if not isinstance(replies, list) or len(replies) != 1:
            self._answer(row.unknown(None, _UNANSWERED) for row in rows)
        elif _shown_header(answer) != dict(view.header):
            why = "columns were moved while rows were added: look at the last rows of the tab"
            self._answer(row.unknown("COLUMNS_MOVED", why, "Moved") for row in rows)
        else:
            self._answer(row.done(self._tab.key) for row in rows)

    async def _delete(self, rows: Sequence[tuple[int, SheetRow]]) -> None:
        """From the bottom up, since each one moves those below it. Which rows went is read afterwards."""
        requests = []
        for at in sorted((at for at, _ in rows), reverse=True):
            span = {"sheetId": self._tab.id, "dimension": "ROWS", "startIndex": at - 1, "endIndex": at}
            requests.append({"deleteDimension": {"range": span}})
        answer = await self._api.change(requests)
        self._applied = True
        replies = answer.get("replies")
        if not isinstance(replies, list) or len(replies) != len(requests):
            self._answer(row.unknown(None, _UNANSWERED) for _, row in rows)
            return
        left = await self._reader.read(self._tab, ())
        why = "rows were moved while they were deleted: it stands, and another may be gone (File > Version history)"
        for _, row in rows:
            gone = row.key not in left.rows
            self._answer([row.done(self._tab.key) if gone else row.unknown(_MOVED, why, "Moved")])

    def _answer(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            del self._pending[outcome.ordinal]
            self.outcomes.append(outcome)


def _cells(view: TabView, row: SheetRow) -> dict[str, Any]:
    """A new row from its first column on."""
    columns = {view.header[name]: value for name, value in row.cells.items() if value != ""}
    return {"values": [_typed(columns.get(n)) for n in range(max(columns) + 1)]}


def _typed(value: Cell | None) -> dict[str, Any]:
    """Text is text: what begins with `=` would be a formula only as `formulaValue` (docs)."""
    match value:
        case None:
            return {}
        case bool():
            return {"userEnteredValue": {"boolValue": value}}
        case str():
            return {"userEnteredValue": {"stringValue": value}}
        case _:
            return {"userEnteredValue": {"numberValue": value}}


def _keys_met(answer: Mapping[str, Any], key: int) -> dict[int, str | None]:
    """Row → the key that stands in it after the write; None where the answer does not show it. By the range that an
    answer names, never by its place."""
    met: dict[int, str | None] = {}
    for one in answer.get("responses") or ():
        written, shown = first_cell(one.get("updatedRange")), one.get("updatedData") or {}
        if written is None:
            continue
        row, first = first_cell(shown.get("range")) or written
        values = shown.get("values")
        cells = values[0] if isinstance(values, list) and values else []
        is_shown = isinstance(values, list) and row == written[0] and first <= key
        met[written[0]] = (form(cells[key - first]) if key - first < len(cells) else "") if is_shown else None
    return met


def _shown_header(answer: Mapping[str, Any]) -> dict[str, int]:
    sheets = (answer.get("updatedSpreadsheet") or {}).get("sheets") or [{}]
    data = (sheets[0].get("data") or [{}])[0]
    row = (data.get("rowData") or [{}])[0]
    shown = [next(iter((one.get("effectiveValue") or {}).values()), None) for one in row.get("values") or ()]
    return header_of({"values": [[value] for value in shown]})
