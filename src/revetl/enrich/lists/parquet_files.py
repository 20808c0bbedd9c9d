"""A list in a Parquet file. Its cells keep their types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from revetl.errors import ConfigError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK_ROWS = 5_000


class ParquetListing:
    format: Literal["parquet"] = "parquet"

    def __init__(self, path: Path, name: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path = path
        try:
            self.schema: pa.Schema = pq.read_schema(path)
        except pa.ArrowInvalid:
            raise ConfigError(Problem("not a Parquet file", name)) from None
        self.header = tuple(self.schema.names)

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(_CHUNK_ROWS):
                yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
