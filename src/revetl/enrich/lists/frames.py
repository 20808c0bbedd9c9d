"""Frames as lists of rows, and back with more columns. pandas and pyarrow stay at this edge."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from revetl.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# What is said of a field, as the ends of its columns' names.
SUFFIXES = ("", "_source", "_confidence", "_verification", "_cost_usd")
_NUMBERS = ("_confidence", "_cost_usd")
CHUNK_ROWS = 100_000


class PandasListing:
    """A DataFrame as a list. Cells are the values themselves; a missing one, of whatever kind, is None, and so is one
    of a column that is not among `used`: wide frames are not turned into objects."""

    def __init__(self, frame: pd.DataFrame) -> None:
        if frame.columns.nlevels > 1:
            raise ConfigError("the frame's columns have several levels", hint="Give each column one name.")
        self._frame = frame
        self.header = tuple(str(name) for name in frame.columns)
        self.used: Container[str] = self.header

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        for first in range(0, len(self._frame), CHUNK_ROWS):
            piece = self._frame.iloc[first : first + CHUNK_ROWS]
            unused = [None] * len(piece)
            columns = (
                [_cell(v) for v in piece.iloc[:, i].tolist()] if name in self.used else unused
                for i, name in enumerate(self.header)
            )
            yield list(zip(*columns, strict=True))

    def sample(self, rows: int) -> list[tuple[Any, ...]]:
        return [row for chunk in PandasListing(self._frame.head(rows)).chunks() for row in chunk]

    def extended(self, added: Mapping[str, tuple[str, list[Any]]]) -> pd.DataFrame:
        """A new frame with the columns of `added`: name → (suffix, cells)."""
        import pandas as pd

        new = {
            name: pd.array(cells, dtype="Float64").to_numpy("float64", na_value=float("nan"))
            if suffix in _NUMBERS
            else pd.array(cells, dtype="string")
            for name, (suffix, cells) in added.items()
        }
        return pd.concat([self._frame, pd.DataFrame(new, index=self._frame.index)], axis=1)


class ArrowListing:
    """A pyarrow Table as a list, likewise."""

    def __init__(self, frame: pa.Table) -> None:
        self._frame = frame
        self.header = tuple(frame.schema.names)
        self.used: Container[str] = self.header

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        for batch in self._frame.to_batches(CHUNK_ROWS):
            unused = [None] * batch.num_rows
            columns = (
                [_cell(v) for v in column.to_pylist()] if name in self.used else unused
                for name, column in zip(self.header, batch.columns, strict=True)
            )
            yield list(zip(*columns, strict=True))

    def sample(self, rows: int) -> list[tuple[Any, ...]]:
        return [row for chunk in ArrowListing(self._frame.slice(0, rows)).chunks() for row in chunk]

    def extended(self, added: Mapping[str, tuple[str, list[Any]]]) -> pa.Table:
        import pyarrow as pa

        table = self._frame
        for name, (suffix, cells) in added.items():
            type_ = pa.float64() if suffix in _NUMBERS else pa.string()
            table = table.append_column(pa.field(name, type_), pa.array(cells, type_))
        return table


def listing_of(frame: Any) -> PandasListing | ArrowListing:
    """TypeError for anything else."""
    # By name: neither library is imported for the other's sake.
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(frame).__mro__}
    if "pandas.DataFrame" in kinds:
        return PandasListing(frame)
    if "pyarrow.Table" in kinds:
        return ArrowListing(frame)
    raise TypeError(f"a pandas DataFrame or a pyarrow Table is needed, not {type(frame).__name__}")


def _cell(value: Any) -> Any:
    """None for NaN, NaT and NA; a whole number that a missing neighbour made a float is whole again."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return None if type(value).__name__ in ("NAType", "NaTType") else value
