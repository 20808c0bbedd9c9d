"""The mapping of a sync handed over as a file: which record of the destination each key of ours is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from revetl.errors import ConfigError
from revetl.private_files import replaced
from revetl.safe_text import for_spreadsheet
from revetl.state.sync_tables import SyncTables

_COLUMNS = ("key", "destination", "object", "record_id")
_ROWS = 10_000


def check(path: Path) -> None:
    """ConfigError where the file's name tells no form, or its folder is not there: before anything is sent."""
    if path.suffix.lower() not in _FORMS:
        raise ConfigError(f"{path}: the mapping is written as {', '.join(_FORMS)}", hint="Name the file so.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder")


def write(tables: SyncTables, path: Path) -> int:
    """Every key whose record is known by an id, for its owner's eyes only (0600); returns how many. What stood there
    stands until the whole file is written. In CSV a cell that a spreadsheet would compute is text. OSError."""
    as_bytes, written = _FORMS[path.suffix.lower()], 0
    with replaced(path) as file:
        file.write(_HEADS[path.suffix.lower()])
        for chunk in tables.warehouse.stream(
            f"""
            SELECT key, destination_id
            FROM {tables.snapshot}
            WHERE destination_id IS NOT NULL
            ORDER BY key
            """,
            batch_rows=_ROWS,
        ):
            for row in chunk.to_pylist():
                cells = (row["key"], tables.spec.destination, tables.spec.object, row["destination_id"])
                file.write(as_bytes(dict(zip(_COLUMNS, cells, strict=True))))
                written += 1
    return written


def _csv(row: Mapping[str, str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([for_spreadsheet(cell) for cell in row.values()])
    return text.getvalue().encode()


def _ndjson(row: Mapping[str, str]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()


_FORMS: Mapping[str, Callable[[Mapping[str, str]], bytes]] = {".csv": _csv, ".ndjson": _ndjson, ".jsonl": _ndjson}
_HEADS = {".csv": (",".join(_COLUMNS) + "\n").encode(), ".ndjson": b"", ".jsonl": b""}
