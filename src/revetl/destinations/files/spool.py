"""The files of one run, written on this machine before any of it is handed over: so their sizes and checksums are
known, memory is flat, and a repeat needs no second look into the warehouse. They have no name in the file system: once
the process is gone, however it ended, so are they."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

from revetl.destinations.capabilities import OPERATION, PublishedRun
from revetl.destinations.files.encoding import CsvEncoder, Encoder, NdjsonEncoder, ParquetEncoder
from revetl.destinations.files.options import Options

if TYPE_CHECKING:
    import pyarrow as pa

_READ_BYTES = 2**20


@dataclass(slots=True)
class SpooledFile:
    """`content` is at its begin whenever it is handed to somebody. `sha256` in hexadecimal digits."""

    content: BinaryIO
    rows: int = 0
    bytes: int = 0
    sha256: str = ""

    def seal(self) -> None:
        digest = hashlib.sha256()
        self.content.seek(0)
        while chunk := self.content.read(_READ_BYTES):
            digest.update(chunk)
        self.bytes, self.sha256 = self.content.tell(), digest.hexdigest()
        self.content.seek(0)


def _new_file() -> SpooledFile:
    return SpooledFile(tempfile.TemporaryFile())


def spooled(content: bytes) -> SpooledFile:
    """A small file of these bytes."""
    file = _new_file()
    file.content.write(content)
    file.seal()
    return file


class RunSpool:
    """`take` every batch in order, `close`, then read `files`. `operations`: what was done → rows; `schema` is None
    where there was no row."""

    def __init__(self, options: Options, run: PublishedRun) -> None:
        self._options, self._run = options, run
        self._encoder: Encoder | None = None
        self.files: list[SpooledFile] = []
        self.operations = Counter[str]()
        self.schema: pa.Schema | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for file in self.files:
            file.content.close()

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def take(self, batch: pa.RecordBatch) -> None:
        self.schema = self.schema or batch.schema
        if self._run.contents == "changes":
            self.operations.update(batch.column(OPERATION).to_pylist())
        while batch.num_rows:
            encoder, file = self._open()
            piece = batch.slice(0, self._options.rows_per_file - file.rows)
            encoder.write(piece)
            file.rows += piece.num_rows
            batch = batch.slice(piece.num_rows)
            full = file.content.tell() >= self._options.megabytes_per_file * 10**6
            if full or file.rows == self._options.rows_per_file:
                self.close()

    def close(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None
            self.files[-1].seal()

    def _open(self) -> tuple[Encoder, SpooledFile]:
        if self._encoder is None:
            self.files.append(_new_file())
            self._encoder = self._new_encoder(self.files[-1].content)
        return self._encoder, self.files[-1]

    def _new_encoder(self, sink: BinaryIO) -> Encoder:
        if self._options.format == "parquet":
            return ParquetEncoder(sink)
        if self._options.format == "csv":
            return CsvEncoder(sink, spreadsheet_safe=self._options.spreadsheet_safe)
        return NdjsonEncoder(sink, self._run.json_columns)
