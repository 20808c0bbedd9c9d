"""Changes cut to what one write call takes: so many records, and so many bytes of values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from revetl.destinations.base import Limits
from revetl.model import Change, Operation, Scalar

if TYPE_CHECKING:
    import pyarrow as pa

_OF_A_NUMBER = 24  # a number or a date as text takes less


class BatchCutter:
    """Holds the changes that do not fill a batch yet, of each operation apart."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[Operation, list[Change]] = {op: [] for op in Operation}
        self._wide: set[Operation] = set()  # of which some that wait are of a wide chunk

    def full(self, op: Operation, changes: Sequence[Change], *, wide: bool) -> Iterator[list[Change]]:
        """Batches in order that are full with these changes. `wide`: their bytes have to be counted, which takes as
        long as all else that is done with a change here."""
        rows = [*self._waiting[op], *changes]
        size, wide = self._limits.write_rows(op), wide or op in self._wide
        ends = self._ends(rows, size) if wide else range(size, len(rows) + 1, size)
        start = 0
        for end in ends:
            yield rows[start:end]
            start = end
        self._waiting[op] = rows[start:]
        self._wide = self._wide | {op} if wide and start < len(rows) else self._wide - {op}

    def rest(self, *ops: Operation) -> Iterator[list[Change]]:
        """What waits, full or not: of these operations, or of all."""
        for op in ops or Operation:
            if rows := self._waiting[op]:
                self._waiting[op] = []
                yield rows

    def may_be_wide(self, chunk: pa.RecordBatch) -> bool:
        """Whether a batch out of this chunk could have more bytes than one write takes."""
        import pyarrow.compute as pc

        widest = sum(
            pc.max(pc.binary_length(column)).as_py() or 0 if _is_text(column) else _OF_A_NUMBER
            for column in chunk.columns
        )
        return widest * self._limits.batch_rows > self._limits.batch_bytes

    def _ends(self, rows: Sequence[Change], size: int) -> Iterator[int]:
        start = taken = 0
        for i, change in enumerate(rows):
            bytes_ = bytes_of(change)
            if i > start and (i - start == size or taken + bytes_ > self._limits.batch_bytes):
                yield i
                start, taken = i, 0
            taken += bytes_
        if len(rows) - start == size or taken >= self._limits.batch_bytes:
            yield len(rows)


def bytes_of(change: Change) -> int:
    """What the key and the values of a change take as text in UTF-8. Names, quotes and whatever else a vendor's format
    adds are not counted."""
    return len(change.key.encode()) + sum(map(_bytes_of, change.fields.values()))


def _bytes_of(value: Scalar) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    return len(value) if isinstance(value, bytes) else _OF_A_NUMBER


def _is_text(column: pa.Array) -> bool:
    import pyarrow as pa

    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_kind(column.type) for is_kind in kinds)
