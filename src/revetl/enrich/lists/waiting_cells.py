"""Cells of a list that stay blank because a paid call about them has no outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from revetl.enrich.lists.entity_table import entity_name
from revetl.enrich.selection.records import RecordSelection
from revetl.enrich.selection.scope import Scope
from revetl.enrich.waterfall import WaterfallSpec
from revetl.model import Relation
from revetl.providers.grammar import ProviderSpec
from revetl.warehouse.base import Warehouse


class LostCall(Protocol):
    """A call whose outcome nobody knows. `keys`: a JSON array of the records that it was made for."""

    @property
    def call_id(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def keys(self) -> str: ...


@dataclass(frozen=True, slots=True)
class WaitingCells:
    """`number` blank cells, each once, and the calls (by id) that they wait for."""

    number: int
    calls: frozenset[str]

    def __bool__(self) -> bool:
        return self.number > 0


def waiting_cells(
    warehouse: Warehouse,
    spec: WaterfallSpec,
    providers: Mapping[str, ProviderSpec],
    input_: Relation,
    calls: Sequence[LostCall],
    now: datetime,
) -> WaitingCells:
    """Of the list in `input_`. Of a verifier's calls nobody knows any more whose value they were about: not counted."""
    fills = {stage.provider: spec.fills(stage, providers[stage.provider]) for stage in spec.stages}
    asked = {call.call_id: (call.provider, json.loads(call.keys)) for call in calls if call.provider in fills}
    keys = sorted({str(key) for _, of in asked.values() for key in of})
    if not keys:
        return WaitingCells(0, frozenset())
    scope = Scope(
        warehouse=warehouse,
        spec=spec,
        providers=providers,
        relation=input_,
        entity=entity_name(spec),
        run_id="",
        now=now,
    )
    lacking = RecordSelection(scope).lacking(keys)
    waiting, of_calls = set[tuple[str, str]](), set[str]()
    for call_id, (provider, of) in asked.items():
        cells = {(str(key), field) for key in of for field in fills[provider] if field in lacking.get(str(key), ())}
        waiting |= cells
        if cells:
            of_calls.add(call_id)
    return WaitingCells(len(waiting), frozenset(of_calls))
