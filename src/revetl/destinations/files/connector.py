"""Files as a destination. A run is one file (several where it is large) and, once they stand, a manifest. Each is made
only where none of its name stands, and all names are of the run, so whoever publishes the run again changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from revetl.clock import Clock
from revetl.destinations.any_fields import AnyFields
from revetl.destinations.base import Destination, Limits, ObjectSchema
from revetl.destinations.capabilities import OPERATION, PublishedRun, RowFeed
from revetl.destinations.files import encoding, layout
from revetl.destinations.files.manifest import manifest
from revetl.destinations.files.options import Options, S3Options, located
from revetl.destinations.files.spool import RunSpool, SpooledFile, spooled
from revetl.destinations.files.store import FileStore, FileWriter
from revetl.errors import Ambiguous, CallError, ConfigError
from revetl.http import Transport
from revetl.model import Change, Contents, Operation, Outcome, Scalar, Status

_KEY = "key"


class Files:
    def __init__(self, name: str, options: Options, clock: Clock, store: FileStore) -> None:
        self.name = name
        self._options, self._store = options, store
        self._writer = FileWriter(name, store, clock)

    def __repr__(self) -> str:
        return f"Files({self.name!r})"

    async def __aenter__(self) -> Files:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._store.close()

    @property
    def requests(self) -> int:
        return self._writer.requests

    @property
    def retries(self) -> int:
        return self._writer.retries

    async def check(self) -> str:
        said = await self._store.check()
        return f"{said}; {self._options.format}, {self._options.contents}"

    async def describe(self, object_: str) -> ObjectSchema:
        if not layout.is_object(object_):
            message = f"{self.name}: no folder can be called {object_!r}"
            raise ConfigError(message, hint="object: letters, digits and any of _ . = -, with / between folders.")
        return ObjectSchema(AnyFields())

    def limits(self, object_: str) -> Limits:
        return Limits(batch_rows=1_000, concurrency=1)

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return encoding.form(value)

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        return True

    def contents(self, object_: str) -> Contents:
        return self._options.contents

    async def publish(self, object_: str, run: PublishedRun, rows: RowFeed) -> None:
        options = self._options
        with RunSpool(options, run) as spool:
            await rows(spool.take)
            await asyncio.to_thread(spool.close)
            files: dict[str, SpooledFile] = {}
            for number, file in enumerate(spool.files):
                path = layout.file_path(options.path, object_, run, number, options.format)
                await self._put(path, file, begun=bool(files))
                files[path] = file
            last = spooled(manifest(options, object_, run, spool, files))
            try:
                await self._put(layout.manifest_path(object_, run), last, begun=bool(files))
            finally:
                last.content.close()

    async def _put(self, path: str, file: SpooledFile, *, begun: bool) -> None:
        try:
            await self._writer.put(path, file)
        except Ambiguous:
            raise
        except CallError as e:
            if not begun:
                raise
            message = f"{e}. Files of this run stand there already, without a manifest: the next run goes on from here"
            raise Ambiguous(message, code=e.code, status=e.status) from None

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        """Outside of a run: a file of these changes, named by its content, so that a repeat finds it. The engine never
        asks for it. A row stands in a file whole, so an update has to bring its record."""
        if self._options.contents == "full":
            raise ConfigError(f"{self.name}: contents: full is of a run: single changes are no set of all records")
        outcomes, taken = [], []
        for change in changes:
            if change.op is Operation.UPDATE and change.record is None:
                why = "an update is written with its whole row, and only what changed was given"
                outcomes.append(Outcome(change.ordinal, Status.REJECTED, None, "Rejected", "PARTIAL_ROW", why))
            else:
                taken.append(change)
                outcomes.append(Outcome(change.ordinal, Status.OK, change.destination_id or change.key))
        if taken:
            batch = _batch(taken)
            digest = hashlib.sha256(repr(batch.to_pylist()).encode()).hexdigest()
            epoch = datetime.fromtimestamp(0, UTC)
            run = PublishedRun(f"write-{digest[:32]}", "write", epoch, _KEY, frozenset(), "changes")

            async def feed(take: Any) -> None:
                take(batch)

            await self.publish(object_, run, feed)
        return outcomes


def _batch(changes: Sequence[Change]) -> Any:
    """A column whose values have several types is text."""
    import pyarrow as pa

    rows = [{**(change.record or {}), **change.fields} for change in changes]
    columns: dict[str, list[Scalar]] = {OPERATION: [c.op.value for c in changes], _KEY: [c.key for c in changes]}
    columns |= {name: [row.get(name) for row in rows] for name in dict.fromkeys(n for row in rows for n in row)}

    def array(cells: list[Scalar]) -> Any:
        if len({type(cell) for cell in cells if cell is not None}) > 1:
            return pa.array([None if cell is None else encoding.text_of(cell) for cell in cells])
        return pa.array(cells)

    return pa.RecordBatch.from_pydict({name: array(cells) for name, cells in columns.items()})


def connect(name: str, options: Options, clock: Clock) -> Destination:
    return Files(name, options, clock, store_of(name, options, clock))


def store_of(name: str, options: Options, clock: Clock, transport: Transport | None = None) -> FileStore:
    """Where `url` points. Its library is imported when it is used. `transport` takes the place of the network, where
    the place is talked to through our own session."""
    place = located(options.url)
    if place.scheme == "file":
        from revetl.destinations.files.local import LocalStore

        return LocalStore(name, place)
    if place.scheme == "sftp" and options.sftp is not None:
        from revetl.destinations.files.sftp import SftpStore

        return SftpStore(name, place, options.sftp)
    if place.scheme == "gs" and options.gcs is not None:
        from revetl.destinations.files.gcs import GcsStore

        return GcsStore(name, place, options.gcs, clock, transport)
    from revetl.destinations.files.s3 import S3Store

    return S3Store(name, place, options.s3 or S3Options(), allow_insecure=options.allow_insecure)
