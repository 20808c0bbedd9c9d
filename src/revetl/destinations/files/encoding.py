"""Rows as Parquet, CSV or NDJSON. The same rows are the same bytes, whenever they are written: by that a file that
stands already is told from another one."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import orjson

from revetl.model import JsonText, Scalar
from revetl.safe_text import for_spreadsheet
from revetl.warehouse.cells import plain

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# A row group: what is held in memory of a Parquet file.
_GROUP_ROWS = 50_000
_GROUP_BYTES = 32 * 2**20
_NULL_FORM = "\0"


class Encoder(Protocol):
    """One file. `close` ends it and leaves the sink open. All batches have the columns of the first."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class ParquetEncoder:
    """Decimals, dates and moments keep their types."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        if sum(b.num_rows for b in self._held) >= _GROUP_ROWS or sum(b.nbytes for b in self._held) >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._held:
            return
        table = pa.Table.from_batches(self._held)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._sink, table.schema, compression="zstd")
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._held = []


class CsvEncoder:
    """RFC 4180 with a header. Null is an empty field, an empty text is `""`."""

    def __init__(self, sink: BinaryIO, *, spreadsheet_safe: bool) -> None:
        self._sink, self._safe, self._has_header = sink, spreadsheet_safe, False

    def write(self, batch: pa.RecordBatch) -> None:
        lines = [] if self._has_header else [self._line(batch.schema.names)]
        self._has_header = True
        lines += map(self._line, zip(*map(plain, batch.columns), strict=True))
        self._sink.write("".join(lines).encode())

    def close(self) -> None:
        pass

    def _line(self, cells: Collection[Scalar]) -> str:
        return ",".join(map(self._cell, cells)) + "\r\n"

    def _cell(self, value: Scalar) -> str:
        if value is None:
            return ""
        text = text_of(value)
        if self._safe and isinstance(value, str) and not text.isalnum():
            text = for_spreadsheet(text)
        quoted = not text or text != text.strip() or any(c in text for c in ',"\r\n')
        return '"' + text.replace('"', '""') + '"' if quoted else text


class NdjsonEncoder:
    """A JSON object a line. Exact numbers are texts, since readers make doubles of numbers."""

    def __init__(self, sink: BinaryIO, json_columns: Collection[str]) -> None:
        self._sink, self._json = sink, json_columns

    def write(self, batch: pa.RecordBatch) -> None:
        names = batch.schema.names
        columns = [
            [None if cell is None else _embedded(cell) for cell in plain(column)]
            if name in self._json
            else plain(column)
            for name, column in zip(names, batch.columns, strict=True)
        ]
        for row in zip(*columns, strict=True):
            self._sink.write(orjson.dumps(dict(zip(names, row, strict=True)), _as_json, orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        pass


def text_of(value: Scalar) -> str:
    """As it stands in a CSV file; bytes in base64."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def form(value: Scalar) -> str:
    """In which two values are one. Null is not the empty text: a file tells them apart."""
    if value is None:
        return _NULL_FORM
    if isinstance(value, JsonText):
        try:
            return json.dumps(json.loads(value), sort_keys=True)
        except ValueError:
            return str(value)
    return text_of(value)


def _as_json(value: Any) -> str:
    if isinstance(value, Decimal | bytes):
        return text_of(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _embedded(text: str) -> Any:
    """A nested value as JSON in JSON; what is none stays text."""
    try:
        parsed = orjson.loads(text)
    except ValueError:
        return text
    # Its own digits, unless it has line breaks, of which a line may have none.
    return parsed if "\n" in text or "\r" in text else orjson.Fragment(text)
