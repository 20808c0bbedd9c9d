"""What stands at the destination before links are sent: whose each link is, and where the ids of our rows lead today.

Reads only. The destination is away → the error leaves as it is, and nothing was sent or written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import LinkedRecords, Links
from revetl.errors import ConfigError, Problem
from revetl.model import SyncSpec
from revetl.sync.batching import ask_in_batches
from revetl.sync.links import links_table
from revetl.sync.links.links_table import FoundLink, LinkLine, MovedEnd
from revetl.sync.readback import read_by_id
from revetl.sync.sync_run import SyncRun

_NO_KIND: frozenset[int] = frozenset()


def able_to_link(spec: SyncSpec, destination: Destination) -> Links:
    """ConfigError where the destination can't link records."""
    if not isinstance(destination, Links):
        message = f"{spec.where or f'sync {spec.name}'}: {spec.destination} can't link records to each other"
        raise ConfigError(Problem(message, hint="Leave `associate` out."))
    return destination


async def links_by_id(
    destination: Destination, object_: str, to_object: str, ids: Sequence[str]
) -> dict[str, LinkedRecords]:
    """The records that each of `ids` is linked to and by which kinds, whoever made the links."""
    if not isinstance(destination, Links):
        return {}
    able, limits = destination, destination.limits(object_)

    async def ask(batch: Sequence[str]) -> Mapping[str, LinkedRecords]:
        return await able.links_of(object_, to_object, batch)

    found: dict[str, LinkedRecords] = {}
    for answer in await ask_in_batches(ids, limits.link_read_rows, limits, ask):
        found |= answer
    return found


async def look(spec: SyncSpec, destination: Destination, chunk: Sequence[LinkLine]) -> tuple[list[FoundLink], set[int]]:
    """Of the lines that are to be made: what their rows are to remember. And the ordinals of the lines for which
    nothing is sent: links that stand there and are not ours, and removals in doubt that took place, since whatever ties
    the two now was made after us."""
    found, done = list[FoundLink](), set[int]()
    lines = [line for line in chunk if line.op == "link" or line.in_doubt]
    for to_object in sorted({line.object for line in lines}):
        these = [line for line in lines if line.object == to_object]
        ids = list(dict.fromkeys(line.from_id for line in these))
        standing = await links_by_id(destination, spec.object, to_object, ids)
        implied = await able_to_link(spec, destination).implied_type(spec.object, to_object)
        for line in these:
            kinds = standing.get(line.from_id, {}).get(line.to_id, _NO_KIND)
            if line.op == "unlink":
                if line.type not in kinds:
                    done.add(line.ordinal)
                continue
            link = _found(line, kinds, implied)
            found.append(link)
            if line.type in kinds and not (link.ours or line.in_doubt):
                done.add(line.ordinal)
    return found, done


def _found(line: LinkLine, kinds: frozenset[int], implied: int | None) -> FoundLink:
    """A kind that is not there will be made by us. One that is there is ours where a row of ours says so, or where it
    came along with another kind that we made on a pair that nothing tied before. Where something ties the two, and not
    by this kind, a request for it that is in doubt never arrived, so what is there was not made by it."""
    ours = line.ours or line.type not in kinds or (line.type == implied and line.alone_by_another)
    alone = not kinds or line.alone_by_another or (line.alone and line.type in kinds)
    return FoundLink(line.ordinal, ours, alone)


async def follow_merged(run: SyncRun, destination: Destination) -> None:
    """Records that people merged took our links along to the record that is left. Where the id of a row leads to the
    one that our record has today, the row goes there too, in doubt; else it would be taken for a link that somebody
    else made. Whether the other record of the merge had a link of its own nobody can tell, so it is not `alone`. Safe
    to repeat."""
    moved = await run.on_tables(links_table.moved_ends)
    merged = list[MovedEnd]()
    for object_ in sorted({end.object for end in moved}):
        ends = [end for end in moved if end.object == object_]
        await destination.describe(object_)
        stands = await read_by_id(destination, object_, list(dict.fromkeys(end.before for end in ends)), [])
        merged += [end for end in ends if end.before in stands and stands[end.before].destination_id == end.now]
    if merged:
        await run.on_tables(links_table.follow_merged, merged)
