"""Verdicts of a rollback or a disconnect on records that another sync of this project stands on: what that sync sends
is left as it is, and named."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from revetl.state.sync_tables import SyncTables
from revetl.sync.rollback.verdicts import RollbackVerdict
from revetl.sync.shared_records import STANDS_ON, OtherSync, stood_on

SENDS = "the sync {} sends it, too"


def leave_shared(
    tables: SyncTables, among: Sequence[OtherSync], decided: Sequence[RollbackVerdict], *, fields: bool
) -> list[RollbackVerdict]:
    """The same verdicts, but that a record which another sync stands on is not archived, and, with `fields`, that a
    field which that sync sends stays as it is."""
    if not among:
        return list(decided)
    shared = stood_on(tables, among, (v.destination_id for v in decided))
    kept: dict[tuple[str, str | None], str] = {
        (v.key, v.field): next(o.name for o in shared[str(v.destination_id)] if v.field in o.fields)
        for v in decided
        if fields and v.verdict == "restore" and v.field in _sent_by(shared.get(str(v.destination_id), ()))
    }
    return [_left(v, shared.get(str(v.destination_id), ()), kept) for v in decided]


def _sent_by(among: Collection[OtherSync]) -> frozenset[str]:
    return frozenset[str]().union(*(other.fields for other in among))


def _left(
    verdict: RollbackVerdict, stand_on: Sequence[OtherSync], kept: Mapping[tuple[str, str | None], str]
) -> RollbackVerdict:
    if not stand_on:
        return verdict
    if verdict.field is not None:
        name = kept.get((verdict.key, verdict.field))
        return verdict if name is None else verdict._replace(verdict="left", reason=SENDS.format(name))
    if verdict.verdict == "archive":
        reason = STANDS_ON.format(stand_on[0].name)
        return verdict._replace(verdict="left", reason=reason, changed_fields=None, found=None, sent=None)
    if verdict.verdict != "restore":
        return verdict
    names: list[str] = json.loads(verdict.changed_fields or "[]")
    rest = [name for name in names if (verdict.key, name) not in kept]
    if len(rest) == len(names):
        return verdict
    if not rest:
        named = next(kept[verdict.key, name] for name in names if (verdict.key, name) in kept)
        return verdict._replace(verdict="left", reason=SENDS.format(named), changed_fields=None, found=None, sent=None)
    sent = verdict.sent
    if sent is not None:
        values = json.loads(sent)
        sent = json.dumps({n: v for n, v in values.items() if (verdict.key, n) not in kept}, separators=(",", ":"))
    return verdict._replace(changed_fields=json.dumps(rest, separators=(",", ":")), sent=sent)
