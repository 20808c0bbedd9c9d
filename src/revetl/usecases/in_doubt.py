"""`revetl enrich --in-doubt`: paid calls whose answer was lost, whose they are, what becomes of each, how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from revetl.enrich.execution.in_doubt import CallInDoubt, in_doubt, resolve
from revetl.enrich.resolutions import Resolution
from revetl.enrich.selection.records import RecordSelection
from revetl.enrich.selection.scope import Scope
from revetl.errors import ConfigError
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.providers.grammar import ProviderSpec
    from revetl.warehouse.base import Warehouse

# (key, inputs) of a list's people, one after the other.
ListRows = Iterable[tuple[str, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class DoubtFilter:
    """Which calls are meant: those of a provider or a whole vendor, of a run, and about a person: by his record's key,
    any input that he was asked about with, or his name. None: all."""

    provider: str | None = None
    run_id: str | None = None
    person: str | None = None

    @property
    def is_empty(self) -> bool:
        return self.provider is None and self.run_id is None and self.person is None


@dataclass(frozen=True, slots=True)
class NamedCall:
    """A call in doubt, and whom it is about: key → what is known of that record; nothing of a record that is gone, and
    of a list's whose file is not at hand."""

    call: CallInDoubt
    people: Mapping[str, Mapping[str, str]]

    def is_about(self, person: str) -> bool:
        said = " ".join(person.split()).casefold()
        return said != "" and any(
            said in {text.casefold() for text in (key, *inputs.values(), name_of(inputs), who(inputs))}
            for key, inputs in self.people.items()
        )


EVERY_CALL = DoubtFilter()


def calls_in_doubt(
    project: Project, caller: Caller, only: DoubtFilter = EVERY_CALL, list_: ListRows | None = None
) -> list[dict[str, object]]:
    """Those calls, the oldest first, and whose they are: of a list's people by the list itself. Reads only; asks
    nobody."""
    now = caller.clock.now()
    with caller.warehouse(project) as warehouse:
        return with_next_step(_named(project, warehouse, only, list_, now), project.providers, now)


def resolve_in_doubt(
    project: Project, caller: Caller, only: DoubtFilter, how: Resolution, list_: ListRows | None = None
) -> int:
    """Ends those calls as a person says. How many were. ConfigError where nothing says which are meant."""
    if only.is_empty:
        raise ConfigError("which calls?", hint="Name them: --provider, --run or --person.")
    with caller.warehouse(project) as warehouse:
        ctx = caller.context(project, warehouse, "enrich")
        found = [named.call for named in _named(project, warehouse, only, list_, ctx.clock.now())]
        return asyncio.run(resolve(warehouse, ctx.clock, found, how, project.settings.budget.zone))


def _named(
    project: Project, warehouse: Warehouse, only: DoubtFilter, list_: ListRows | None, now: datetime
) -> list[NamedCall]:
    found, rows = [], dict[str, Mapping[str, str]]()
    calls = in_doubt(warehouse, now, run_id=only.run_id)
    if list_ is not None:
        keys = {str(key) for call in calls for key in json.loads(call.keys)}
        rows = {key: inputs for key, inputs in list_ if key in keys}
    for call in calls:
        if only.provider is not None and only.provider not in (call.provider, call.provider.partition(".")[0]):
            continue
        named = NamedCall(call, _people(project, warehouse, call, rows, now))
        if only.person is None or named.is_about(only.person):
            found.append(named)
    return found


def _people(
    project: Project, warehouse: Warehouse, call: CallInDoubt, rows: Mapping[str, Mapping[str, str]], now: datetime
) -> dict[str, Mapping[str, str]]:
    """A model's record is looked up in the model."""
    spec = project.waterfalls.get(call.waterfall)
    keys = [str(key) for key in json.loads(call.keys)]
    found: dict[str, Mapping[str, str]] = {key: rows.get(key, {}) for key in keys}
    if spec is None or all(found.values()):
        return found
    relation = project.relation(spec.entity)
    if not warehouse.columns(relation):
        return found
    scope = Scope(
        warehouse=warehouse,
        spec=spec,
        providers=project.providers,
        relation=relation,
        entity=spec.entity,
        run_id="",
        now=now,
    )
    records = RecordSelection(scope)
    return {key: known or records.identity(key) for key, known in found.items()}


def name_of(inputs: Mapping[str, str]) -> str:
    """As people say it; empty where it is not known."""
    return " ".join(filter(None, (inputs.get("first_name"), inputs.get("last_name")))) or inputs.get("name", "")


def who(inputs: Mapping[str, str]) -> str:
    """A person or company in a few words."""
    name = name_of(inputs)
    told_by = ("email", "domain", "linkedin_url", "phone", "company_name")
    more = next((inputs[each] for each in told_by if inputs.get(each)), "")
    return f"{name} ({more})" if name and more else name or more


def with_next_step(
    calls: Iterable[NamedCall], providers: Mapping[str, ProviderSpec], now: datetime
) -> list[dict[str, object]]:
    """Each call as plain values, with whose it is and what happens next."""
    return [
        {
            "call_id": named.call.call_id,
            "run_id": named.call.run_id,
            "waterfall": named.call.waterfall,
            "provider": named.call.provider,
            "asked_at": named.call.asked_at,
            "usd": str(named.call.usd),
            "request_id": named.call.request_id,
            "records": named.call.keys,
            "people": {key: dict(inputs) for key, inputs in named.people.items()},
            "next": what_next(named.call, providers.get(named.call.provider), now),
        }
        for named in calls
    ]


def what_next(call: CallInDoubt, provider: ProviderSpec | None, now: datetime) -> str:
    """In the words of the guide."""
    if call.request_id is not None:
        return "the next run fetches its result, for nothing"
    until = call.asked_at + timedelta(days=provider.free_repeat_days if provider is not None else 0)
    if until > now:
        return f"asked again by the next run: free until {until:%Y-%m-%d}"
    return "held: not asked again; look for it in the vendor's invoice, then --resolve"
