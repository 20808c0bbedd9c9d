"""What stands at the destination before links are sent: whose each link is, and where the ids of our rows lead today.

Reads only. The destination is away → the error leaves as it is, and nothing was sent or written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import ExclusiveLinks, LinkedRecords, Links, ReadsBack
from revetl.errors import ConfigError, Problem
from revetl.model import SyncSpec
from revetl.sync.batching import ask_in_batches
from revetl.sync.links import following
from revetl.sync.links.following import MovedEnd
from revetl.sync.links.links_table import FoundLink, LinkLine
from revetl.sync.readback import read_by_id
from revetl.sync.sync_run import SyncRun

_NO_KIND: frozenset[int] = frozenset()


def able_to_link(spec: SyncSpec, destination: Destination) -> Links:
    """ConfigError where the destination can't link records."""
    if not isinstance(destination, Links):
        message = f"{spec.where or f'sync {spec.name}'}: {spec.destination} can't link records to each other"
        raise ConfigError(Problem(message, hint="Leave `associate` out."))
    return destination


async def check_types(spec: SyncSpec, destination: Destination) -> None:
    """ConfigError for a kind of link that the destination does not have."""
    problems, able = [], able_to_link(spec, destination)
    for a in spec.associate:
        types = await able.link_types(spec.object, a.object)
        if a.type not in types:
            known = ", ".join(map(str, sorted(types))) or "none"
            said = f"{spec.where or f'sync {spec.name}'}: associate to {a.to}"
            message = f"{said}: {spec.destination} has no link of type {a.type} from {spec.object} to {a.object}"
            problems.append(Problem(message, hint=f"Types: {known}."))
    if problems:
        raise ConfigError(problems)


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


@dataclass(frozen=True, slots=True)
class Looked:
    """What stands on the pairs of some lines. `found`: of those to be made, what their rows are to remember. By
    ordinal, the lines for which nothing is sent: `done`, a link that stands there and is not ours to make, or a removal
    in doubt that took place, since whatever ties the two now was made after us; `kept`, a link that went along to a
    record on which a person has another that excludes it."""

    found: list[FoundLink] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)


async def look(spec: SyncSpec, destination: Destination, chunk: Sequence[LinkLine]) -> Looked:
    looked = Looked()
    lines = [line for line in chunk if line.op == "link" or line.in_doubt]
    for to_object in sorted({line.object for line in lines}):
        these = [line for line in lines if line.object == to_object]
        ids = list(dict.fromkeys(line.from_id for line in these))
        standing = await links_by_id(destination, spec.object, to_object, ids)
        implied = await able_to_link(spec, destination).implied_type(spec.object, to_object)
        exclusive = _NO_KIND
        if isinstance(destination, ExclusiveLinks) and any(line.moved for line in these):
            exclusive = await destination.exclusive_types(spec.object, to_object)
        for line in these:
            linked = standing.get(line.from_id, {})
            kinds = linked.get(line.to_id, _NO_KIND)
            if line.op == "unlink":
                if line.type not in kinds:
                    looked.done.add(line.ordinal)
                continue
            stands = line.type in kinds
            ours, alone = _found(line, kinds, implied)
            state = "linking"
            if line.moved and not line.in_doubt:
                if stands:
                    state = "moved"
                    looked.done.add(line.ordinal)
                elif line.type in exclusive and any(line.type in others for others in linked.values()):
                    state = "accepted"
                    looked.kept.add(line.ordinal)
            elif stands and not (ours or line.in_doubt):
                looked.done.add(line.ordinal)
            looked.found.append(FoundLink(line.ordinal, ours, alone, state))
    return looked


def _found(line: LinkLine, kinds: frozenset[int], implied: int | None) -> tuple[bool, bool]:
    """(ours, alone). A kind that is not there will be made by us. One that is there is ours where a row of ours says
    so, or where it came along with another kind that we made on a pair that nothing tied before. Where something ties
    the two, and not by this kind, a request for it that is in doubt never arrived, so what is there was not made by
    it."""
    ours = line.ours or line.type not in kinds or (line.type == implied and line.alone_by_another)
    alone = not kinds or line.alone_by_another or (line.alone and line.type in kinds)
    return ours, alone


async def ends_today(destination: Destination, moved: Sequence[MovedEnd]) -> list[MovedEnd]:
    """Of ends whose record has another id today, those whose links are not at the old one any more: people merged the
    record and our links went along, or it is gone and they went with it. An old record that still stands by itself
    keeps its links; they are compared as before."""
    ends_now = list[MovedEnd]()
    for object_ in sorted({end.object for end in moved}):
        ends = [end for end in moved if end.object == object_]
        stands = await read_by_id(destination, object_, list(dict.fromkeys(end.before for end in ends)), [])
        for end in ends:
            if end.before not in stands:
                ends_now.append(end._replace(gone=True))
            elif stands[end.before].destination_id == end.now:
                ends_now.append(end)
    return ends_now


async def follow_moved(run: SyncRun, destination: Destination) -> None:
    """Takes our rows along where records have another id today; else a link that a merge brought over would be taken
    for one that somebody else made. Whether the other record of the merge had a link of its own nobody can tell, so it
    is not `alone`. Safe to repeat."""
    moved = await run.on_tables(following.moved_ends)
    if moved and isinstance(destination, ReadsBack):
        for object_ in sorted({end.object for end in moved}):
            await destination.describe(object_)
        if ends := await ends_today(destination, moved):
            await run.on_tables(following.follow_moved, ends)
