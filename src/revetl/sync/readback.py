"""Records of ours beside what stands at the destination: read by id, chunk by chunk, the next one on its way while
this one is looked at, so that the destination's limit is the only thing to wait for. Memory holds two chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from revetl.context import Offload
from revetl.destinations.base import Destination, RecordMatch
from revetl.destinations.capabilities import ReadsBack
from revetl.errors import ConfigError
from revetl.model import Scalar, SyncSpec
from revetl.state.sync_tables import SyncTables
from revetl.sync.batching import ask_in_batches

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 5_000

KnownRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NormalForms:
    """Values of one sync in the form in which its destination compares them."""

    destination: Destination
    tables: SyncTables

    def of(self, name: str, value: Scalar) -> str:
        """ "" for null, and for a destination's empty text, which is the same to it."""
        if value is None or value == "":
            return ""
        try:
            return self.destination.normalise(self.tables.spec.object, name, self.tables.cell(name, value))
        except ValueError:  # has no form there: it could never have been written, so it equals nothing that stands
            return repr(value)

    def has(self, name: str, value: Scalar) -> bool:
        """Whether the destination could hold it at all."""
        try:
            self.destination.normalise(self.tables.spec.object, name, self.tables.cell(name, value))
        except ValueError:
            return False
        return True


async def require_readable(destination: Destination, spec: SyncSpec) -> None:
    """ConfigError where records can't be read back, or are events. Learns the fields, which `normalise` leans on."""
    if (await destination.describe(spec.object)).kind == "events":
        message = f"{spec.where or spec.name}: {spec.destination} {spec.object} are events: they are never changed"
        raise ConfigError(message, hint="Nothing there can differ from what was sent.")
    if not isinstance(destination, ReadsBack):
        raise ConfigError(
            f"{spec.where or spec.name}: {spec.destination} can't read {spec.object} back by id",
            hint="Drift is what stands there beside what was sent, and nothing shows what stands there.",
        )


async def read_by_id(
    destination: Destination, object_: str, ids: Sequence[str], fields: Sequence[str]
) -> dict[str, RecordMatch]:
    """Any number of ids, as `ReadsBack.read_back` gives them; nothing where the destination can't be read."""
    if not isinstance(destination, ReadsBack):
        return {}
    able, limits = destination, destination.limits(object_)

    async def ask(batch: Sequence[str]) -> Mapping[str, RecordMatch]:
        return await able.read_back(object_, batch, fields)

    found: dict[str, RecordMatch] = {}
    for answer in await ask_in_batches(ids, limits.read_rows, limits, ask):
        found |= answer
    return found


async def read_back(
    chunks: Iterator[pa.RecordBatch],
    destination: Destination,
    object_: str,
    fields: Sequence[str],
    *,
    offload: Offload,
    id_column: str = "destination_id",
    stop: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[tuple[list[KnownRow], dict[str, RecordMatch]], None]:
    """(rows, what stands there by their id) for each chunk; rows without an id are given and not asked for. Errors of
    the destination leave as they are: nothing was written by reading. `offload` must be that of a lease: one
    statement at a time, since this reads ahead. `stop`: no further chunk is begun."""

    async def next_one() -> tuple[list[KnownRow], dict[str, RecordMatch]] | None:
        chunk: pa.RecordBatch | None = await offload(next, chunks, None)
        if chunk is None:
            return None
        rows = chunk.to_pylist()
        ids = list(dict.fromkeys(row[id_column] for row in rows if row[id_column] is not None))
        return rows, await read_by_id(destination, object_, ids, fields)

    coming = asyncio.create_task(next_one())
    try:
        while (found := await coming) is not None:
            if stop():
                return
            coming = asyncio.create_task(next_one())
            yield found
    finally:
        # Not cancelled: its thread would go on using the warehouse behind our back.
        await asyncio.gather(coming, return_exceptions=True)
