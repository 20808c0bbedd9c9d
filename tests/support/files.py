"""What a reader of published files sees, read without the connector: complete runs alone, in their order; and a wire
between the connector and its store, which loses, refuses and dies as it is told."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from revetl.destinations.files.spool import SpooledFile
from revetl.destinations.files.store import FileStore
from revetl.errors import Ambiguous, Denied, Throttled, Unavailable
from revetl.testing.crashing import Fuse

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReadRun:
    """A run as a manifest names it, with the rows of its files."""

    manifest: Mapping[str, Any]
    rows: list[Row]


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def read_runs(files: Mapping[str, bytes], object_: str, created: Sequence[str] = ()) -> list[ReadRun]:
    """Complete runs in the order of their ids, or as their manifests were `created`: what was written outside of a run
    is named by its content. Fails where a file is not what its manifest says."""
    begins = f"{object_}/_manifests/"
    runs = []
    for path in sorted((p for p in files if p.startswith(begins)), key=lambda p: created.index(p) if created else p):
        manifest = json.loads(files[path])
        assert path == f"{begins}{manifest['run_id']}.json"
        rows: list[Row] = []
        for file in manifest["files"]:
            content = files[file["path"]]
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
            found = rows_of(content, manifest["format"])
            assert len(found) == file["rows"]
            rows += found
        assert len(rows) == manifest["rows"]
        runs.append(ReadRun(manifest, rows))
    return runs


def rows_of(content: bytes, format_: str) -> list[Row]:
    if format_ == "parquet":
        rows: list[Row] = pq.read_table(io.BytesIO(content)).to_pylist()
        return rows
    if format_ == "csv":
        return [dict(row) for row in csv.DictReader(io.StringIO(content.decode(), newline=""))]
    return [json.loads(line) for line in content.splitlines()]


def applied(runs: list[ReadRun]) -> dict[str, Row]:
    """Key → the record as a reader holds it after all of these runs. Fails where a record is made that is there, or
    changed or deleted and is not: that is what exactly once means here."""
    held: dict[str, Row] = {}
    for run in runs:
        key = run.manifest["key"]
        if run.manifest["contents"] == "full":
            held = {str(row[key]): row for row in run.rows}
            assert len(held) == len(run.rows)
            continue
        for row in run.rows:
            op, record = row["_op"], {name: value for name, value in row.items() if name != "_op"}
            assert (op == "create") != (str(row[key]) in held), f"{op} of {row[key]} in {run.manifest['run_id']}"
            if op == "delete":
                del held[str(row[key])]
            else:
                held[str(row[key])] = record
    return held


def orphans(files: Mapping[str, bytes]) -> set[str]:
    """Files that no manifest names."""
    manifests = {path for path in files if "/_manifests/" in path}
    named = {file["path"] for path in manifests for file in json.loads(files[path])["files"]}
    return set(files) - manifests - named


@dataclass
class FileWire:
    """`fuse` burns at both ends of each call. `lose`: so many files are made and nobody is told; `failure`: what every
    call meets instead."""

    fuse: Fuse = field(default_factory=Fuse)
    lose: int = 0
    dark: bool = False
    failure: type[Denied | Throttled | Unavailable] | None = None
    created: list[str] = field(default_factory=list)
    on_call: Callable[[str], None] = lambda path: None
    on_write: Callable[[], None] = lambda: None

    def mend(self) -> None:
        self.lose, self.dark, self.failure = 0, False, None


class WiredStore:
    def __init__(self, inner: FileStore, wire: FileWire) -> None:
        self._inner, self._wire = inner, wire

    async def check(self) -> str:
        return await self._inner.check()

    async def create(self, path: str, file: SpooledFile) -> bool:
        wire = self._wire
        wire.on_call(path)
        if wire.dark and not wire.lose:
            raise Ambiguous("the connection was lost")
        if wire.failure is not None:
            raise wire.failure("the store refuses")
        wire.fuse.tick()
        made = await self._inner.create(path, file)
        wire.created += [path] if made else []
        wire.on_write()
        wire.fuse.tick()
        if wire.lose:
            wire.lose -= 1
            raise Ambiguous("the connection was lost")
        return made

    async def holds(self, path: str, file: SpooledFile) -> bool:
        self._wire.on_call(path)
        if self._wire.dark:
            raise Ambiguous("the connection was lost")
        self._wire.fuse.tick()
        return await self._inner.holds(path, file)

    async def close(self) -> None:
        await self._inner.close()
