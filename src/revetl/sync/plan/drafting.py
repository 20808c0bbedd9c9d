"""A whole plan: compared and frozen in the warehouse (`freezing`), and once more in the destination's forms
(`equal_forms`); judged (`guardrails`); read back (`standing`) and matched (`matching`) at the destination; fields that
people own taken out (`policies`); its cost worked out (`forecast`).

A column that the destination does not have, or that nobody may write there, → ConfigError before anything is looked up.
All else that can fail is said where it happens; whatever it is, nothing was sent yet and the next draft begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from revetl.destinations.base import Destination, DestinationField, FieldType, ObjectSchema, Quota
from revetl.destinations.capabilities import HasQuota, requests_of
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.model import Metadata, Operation, SyncSpec
from revetl.state.sync_tables import SyncTables
from revetl.sync.batching import write_rows
from revetl.sync.links import link_plan
from revetl.sync.plan import (
    consequences,
    equal_forms,
    erasing,
    events,
    field_types,
    freezing,
    guardrails,
    handovers,
    key_property,
    lines,
    matching,
    multi_select,
    new_fields,
    policies,
    removals,
    standing,
)
from revetl.sync.plan.basis import basis
from revetl.sync.plan.field_types import FieldNote
from revetl.sync.plan.forecast import PlanForecast, forecast
from revetl.sync.plan.summary import PlanSummary, Refresh
from revetl.sync.references import looking_up, missing, reading_ids
from revetl.sync.retry import due
from revetl.sync.retry.queue import QueueFilter
from revetl.sync.sync_run import SyncRun


async def draft(
    run: SyncRun,
    destination: Destination | None,
    released: Sequence[QueueFilter] = (),
    *,
    limit: int | None,
    refresh: Refresh,
    only_plans: bool = False,
) -> PlanSummary:
    """Freezes a plan, asks the destination what it has to know, judges guardrails and forecasts. Sends nothing; without
    a destination every new record counts as a create. `released`: planned as if it did not wait. `only_plans`: no run
    follows, so the changes of links are looked at and listed too."""
    spec = run.spec
    schema: ObjectSchema | None = None
    if destination is not None and spec.mode == "insert":
        schema = await destination.describe(spec.object)  # events are compared in another way
    of_events = schema is not None and schema.kind == "events"
    every = refresh is not Refresh.NONE
    at = 0 if destination is None else requests_of(destination)[0]
    await looking_up.look_up(run, destination, every=every)
    of_ids = await reading_ids.read_named_ids(run, destination, every=every)
    named = 0 if destination is None else requests_of(destination)[0] - at
    gone: list[str] = []
    if destination is not None and (spec.create_properties or spec.key_property):
        schema = schema or await destination.describe(spec.object)
        gone = await run.on_tables(new_fields.forget_gone, schema.fields)
    options = freezing.FreezeOptions(run.ctx.clock.now(), limit, every, of_events, tuple(released))
    summary = await run.on_tables(freezing.freeze, run.ctx.run_id, options)
    summary.full_refresh, summary.read_back = refresh is Refresh.WHOLE, refresh is Refresh.READ_BACK
    summary.notes += [*of_ids, *gone]
    summary.unresolved = await run.on_tables(missing.of_fields)
    summary.unresolved_links = await run.on_tables(missing.of_links)
    asked = (0, 0)
    planned = await run.on_tables(lines.count)
    if destination is not None and planned:
        schema = schema or await destination.describe(spec.object)
        await run.on_tables(new_fields.forget_gone, schema.fields)  # also where a field that lacks is refused
        asked = await _ask(run, destination, schema, summary, refresh)
        if not every:  # that one says of every record what became of it
            summary.add_waiting(await run.on_tables(due.leave_out_decided_again, run.ctx.clock.now()))
    else:
        await _judge_shares(run, summary)
    summary = await run.on_tables(lines.summarise, summary)
    summary.basis = basis(spec.destination, destination, events=of_events)
    if destination is not None:
        summary.requests = sum(_writes(spec, destination, summary).values())
        summary.consequences += consequences.consequences(spec, destination, schema, summary.changes)
        if summary.changes:
            summary.notes += await key_property.to_make(spec, destination)
            if schema is not None:
                made = await new_fields.to_make(run.tables, destination, schema.fields)
                summary.new_fields.update(made)
                summary.notes += new_fields.said(summary.new_fields)
        summary.notes += erasing.said(summary.erased)
    summary.violations += guardrails.judge_creates(spec, summary.create - summary.again.get("create", 0))
    summary.links = await link_plan.plan_links(
        run, destination, full_refresh=summary.full_refresh, only_plans=only_plans
    )
    if only_plans:
        summary.link_samples = await run.on_tables(link_plan.samples, lines.SAMPLES)
    summary.violations += guardrails.judge_links(spec, summary.links)
    if destination is not None:
        summary.forecast = _forecast(spec, destination, summary, asked[0] + named, asked[1])
    return summary


async def _ask(
    run: SyncRun, destination: Destination, schema: ObjectSchema, summary: PlanSummary, refresh: Refresh
) -> tuple[int, int]:
    """Everything that the plan has to know from the destination; what that leaves out is counted in the summary.
    Returns the requests of lookups and of reads."""
    spec = run.spec
    described = new_fields.described(run.tables, destination, schema.fields)
    if schema.kind == "events":
        events.check(spec, schema, full_refresh=summary.full_refresh)
    field_types.refuse(run.tables, described)
    # Holds for every run of the sync alike, so runs do not repeat it as they do notes.
    summary.consequences += check_declared(run.tables, destination, schema)
    check_required(run.tables, schema)
    _note(summary, await run.on_tables(field_types.check, described))
    await run.on_tables(key_property.check_keys)
    policies.check(run.tables, destination, described)
    summary.notes += _only_forward(spec, [f.name for f in run.tables.fields], described)
    summary.notes += multi_select.replaced(run.tables, destination, described)
    if schema.kind == "events":
        lookups = await _match_events(run, destination, schema, summary)
        await _look_at_options(run, described, summary)
        return lookups, 0
    if not (summary.full_refresh or summary.read_back):
        summary.unchanged += await equal_forms.take_over(run, destination)
    if not summary.read_back:
        await _judge_shares(run, summary)
    at = [requests_of(destination)[0]]
    found = await standing.read(run, destination, described, refresh=refresh)
    at.append(requests_of(destination)[0])
    summary.absent = await matching.match_new(run, destination, multi_select.names(spec, described))
    at.append(requests_of(destination)[0])
    if found.read:
        await run.on_tables(standing.decide)
    await removals.decide(run, destination, read=bool(found.read))
    if found.read:
        summary.merged, summary.found_again = found.merged, await run.on_tables(standing.count_found_again)
        summary.theirs, summary.left_as_theirs = dict(sorted(found.theirs.items())), found.left_as_theirs
    summary.kept = await policies.decide(run, destination, described)
    if summary.read_back:  # until now every record had a line
        await _judge_shares(run, summary)
    await handovers.decide(run, destination, described, summary)
    await multi_select.decide(run, destination, described)
    at.append(requests_of(destination)[0])
    await _look_at_options(run, described, summary)
    return at[2] - at[1], at[1] - at[0] + at[3] - at[2]


async def _look_at_options(run: SyncRun, described: Mapping[str, DestinationField], summary: PlanSummary) -> None:
    """Once it is decided what is sent."""
    strange = await run.on_tables(field_types.strange_options, described)
    _note(summary, strange)
    if strange:
        summary.no_option = await run.on_tables(field_types.count_strange, strange)


def _note(summary: PlanSummary, found: Sequence[FieldNote]) -> None:
    summary.notes += [note.sentence for note in found]
    summary.examples += [f"{note.field}: {note.example}" for note in found if note.example is not None]


async def _match_events(run: SyncRun, destination: Destination, schema: ObjectSchema, summary: PlanSummary) -> int:
    """Returns the requests of lookups."""
    before = requests_of(destination)[0]
    await _judge_shares(run, summary)
    await run.on_tables(events.decide, schema)
    summary.absent = await matching.match_new(run, destination)
    await run.on_tables(events.take_over_found)
    return requests_of(destination)[0] - before


async def _judge_shares(run: SyncRun, summary: PlanSummary) -> None:
    """Of what differs there too; before matching, by which records that are new to us become updates."""
    judged = await run.on_tables(
        guardrails.judge_shares,
        summary.snapshot_rows,
        summary.cleared - summary.cleared_again,
        full_refresh=summary.full_refresh,
    )
    rows = [v for v in summary.violations if v.guardrail == "rows"]
    summary.violations = [*rows, *judged, *(v for v in summary.violations if v not in rows)]


def _only_forward(spec: SyncSpec, columns: Sequence[str], known: Mapping[str, DestinationField]) -> list[str]:
    """A word on fields that go forward only there, where the sync does not say so."""
    return [
        f"{name}: {spec.destination} takes a step back and does not apply it; write"
        f" `fields: {{{name}: {{policy: forward_only}}}}`, and none is sent"
        for name in columns
        if name in known and known[name].only_forward and spec.rule(name).policy == "always"
    ]


def _forecast(spec: SyncSpec, destination: Destination, plan: PlanSummary, lookups: int, reads: int) -> PlanForecast:
    limits = destination.limits(spec.object)
    writes = _writes(spec, destination, plan)
    writes["property"] = len(plan.new_fields)  # each is made by a call
    writes["link"] = -(-plan.links.link // limits.link_rows)
    writes["unlink"] = -(-plan.links.unlink // limits.unlink_rows)
    # A link is read before it is made, and a pair before anything of it is removed.
    looked_at = plan.links.link + plan.links.standing + plan.links.kept
    reads += -(-looked_at // limits.link_read_rows) + writes["unlink"] + plan.links.reads
    quota = destination.quota(spec.object, spec.match_on) if isinstance(destination, HasQuota) else Quota()
    return forecast(quota, lookups=lookups, reads=reads, writes=writes)


def _writes(spec: SyncSpec, destination: Destination, plan: PlanSummary) -> dict[str, int]:
    """Operation → calls, as the records that will be sent are batched."""
    records = {
        Operation.CREATE: plan.create,
        Operation.UPDATE: plan.update + plan.adopt,
        Operation.DELETE: plan.delete,
    }
    writes = {op.value: -(-n // write_rows(destination, spec.object, plan.changes, op)) for op, n in records.items()}
    if spec.erases:
        writes[Operation.DELETE.value] = -(-plan.delete // destination.limits(spec.object).erase_rows)
    # A wave is a batch of its own at least, and so is what is emptied before them.
    writes[Operation.UPDATE.value] += plan.waves - 1 + -(-plan.vacated // destination.limits(spec.object).batch_rows)
    return writes


def check_declared(tables: SyncTables, destination: Destination, schema: ObjectSchema) -> list[str]:
    """What a sync declares, held against the destination without looking at a row: as `revetl check` and every plan do
    it. Returns what is worth knowing, a sentence each. ConfigError for what can't be sent so."""
    spec = tables.spec
    described = new_fields.described(tables, destination, schema.fields)
    looked_up_only = spec.match_on if consequences.finds_by_id(spec, destination) else None
    check_fields(spec, [f.name for f in tables.fields], described, looked_up_only=looked_up_only)
    consequences.check(spec, destination, schema)
    erasing.check(spec, destination)
    return check_metadata(spec, described)


_METADATA_TYPES: Mapping[Metadata, tuple[FieldType, ...]] = {
    "synced_at": ("string", "date", "datetime", "any"),
    "first_synced_at": ("string", "date", "datetime", "any"),
    "run_id": ("string", "any"),
}
_METADATA_SAID: Mapping[Metadata, str] = {
    "synced_at": "the moment of the run, with every record that is sent",
    "first_synced_at": "the moment of the run, with every record that is created",
    "run_id": "the run's id, with every record that is sent",
}


def check_metadata(spec: SyncSpec, known: Mapping[str, DestinationField]) -> list[str]:
    """What is said of the fields that tell of the run. ConfigError for one that is not there or can't take it."""
    check_fields(spec, [*spec.metadata], known)
    where = spec.where or f"sync {spec.name}"
    problems = [
        Problem(f"{where}: metadata: {name} is a {known[name].type} field, which can't take {kind}")
        for name, kind in spec.metadata.items()
        if known[name].type not in _METADATA_TYPES[kind]
    ]
    if problems:
        raise ConfigError(problems)
    return [f"{name}: {_METADATA_SAID[kind]}" for name, kind in spec.metadata.items()]


def check_required(tables: SyncTables, schema: ObjectSchema) -> None:
    """ConfigError for a column that every record of this object has to have, and that is not in the model."""
    spec, names = tables.spec, {f.name for f in tables.fields}
    where = spec.where or f"sync {spec.name}"
    problems = [
        Problem(f"{where}: there is no column {name!r}: {why}", hint=did_you_mean(name, [*names]))
        for name, why in schema.required.items()
        if name not in names
    ]
    if problems:
        raise ConfigError(problems)


def check_fields(
    spec: SyncSpec,
    columns: Sequence[str],
    known: Mapping[str, DestinationField],
    *,
    looked_up_only: str | None = None,
) -> None:
    """ConfigError for every column that the destination's object has no field for, or that nobody may write.
    `looked_up_only`: a column that is not sent."""
    where = spec.where or f"sync {spec.name}"
    target = f"{spec.destination} {spec.object}"
    problems = [
        Problem(f"{where}: {target} has no field {c!r}", hint=did_you_mean(c, [*known]))
        for c in columns
        if c not in known
    ]
    problems += [
        Problem(f"{where}: field {c!r} of {target} is read-only", hint="Leave the column out of the model.")
        for c in columns
        if c in known and known[c].read_only and c != looked_up_only
    ]
    if problems:
        raise ConfigError(problems)
