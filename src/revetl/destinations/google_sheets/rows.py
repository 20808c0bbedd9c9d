"""A change as the cells of one row, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from revetl.destinations.google_sheets.values import Cell, cell, form
from revetl.errors import CallError, Rejected
from revetl.model import EXISTED, Change, Operation, Outcome, Status

NOT_FOUND, DUPLICATE_KEY = "NOT_FOUND", "DUPLICATE_KEY"


@dataclass(frozen=True, slots=True)
class SheetRow:
    """`key`: by which the row is found now. `cells`: column → what is to stand there. `change` is None of a row of
    somebody else's whose values are put back."""

    key: str
    cells: Mapping[str, Cell]
    change: Change | None = None

    def done(self, key_column: str, *, existed: bool = False) -> Outcome:
        written = self.cells.get(key_column)
        id_ = self.key if written is None or written == "" else form(written)
        code = EXISTED if existed and self.op is Operation.CREATE else None
        return Outcome(self.ordinal, Status.OK, id_, None, code)

    def refused(self, code: str, why: str, *, in_row: bool = False) -> Outcome:
        return Outcome(self.ordinal, Status.REJECTED, None, "Rejected", code, why, in_row=in_row)

    def unknown(self, code: str | None, why: str, error: str = "Unanswered") -> Outcome:
        return Outcome(self.ordinal, Status.UNKNOWN, None, error, code, why)

    def unsure(self, error: CallError) -> Outcome:
        return self.unknown(error.code, str(error), type(error).__name__)

    @property
    def ordinal(self) -> int:
        return self._change.ordinal

    @property
    def op(self) -> Operation:
        return self._change.op

    @property
    def _change(self) -> Change:
        if self.change is None:
            raise RuntimeError("values that are put back are no change of ours")
        return self.change


def row_of_change(name: str, key_column: str, change: Change) -> SheetRow:
    """Rejected, with the connector's `name`, where a value or the key does not go into a cell."""
    try:
        cells = {column: cell(column, value) for column, value in change.fields.items()}
    except Rejected as e:
        raise Rejected(f"{name}: {e}", code=e.code, in_row=True) from None
    key = change.destination_id
    if key is None:
        given = change.fields.get(key_column)
        key = form(change.match_value if given is None else given)
    if not key or (change.op is not Operation.DELETE and cells.get(key_column, key) == ""):
        raise Rejected(f"{name}: {key_column} is empty, and by it a row is found", code="NO_KEY", in_row=True)
    if change.op is Operation.CREATE and key_column not in cells and change.match_value is not None:
        cells[key_column] = cell(key_column, change.match_value)
    return SheetRow(key, cells, change)
