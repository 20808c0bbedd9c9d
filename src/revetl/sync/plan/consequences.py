"""What follows from what a connector can do: for modes, adoption, drift and rollback. Said in every plan, or refused
where a sync asks for what can't be kept. Asks the destination nothing."""

from __future__ import annotations

from revetl.destinations.base import Destination, ObjectSchema
from revetl.destinations.capabilities import (
    OPERATION,
    KeepsKeys,
    LooksUp,
    LooksUpIds,
    NeedsRecords,
    PublishesRuns,
    ReadsBack,
    write_only,
)
from revetl.errors import ConfigError, Problem
from revetl.model import SyncSpec
from revetl.sync.batching import by_jobs


def finds_by_id(spec: SyncSpec, destination: Destination | None) -> bool:
    """Whether the records of this sync are named by the id that the destination gave them."""
    if destination is None or not isinstance(destination, LooksUpIds):
        return False
    return spec.match_on == destination.id_field(spec.object)


def check(spec: SyncSpec, destination: Destination, schema: ObjectSchema) -> None:
    """ConfigError for a mode that needs records to be found. What events allow: `events.check`."""
    if finds_by_id(spec, destination) and spec.mode != "update":
        message = (
            f"{_where(spec)}: match_on: {spec.match_on!r} is the id that {spec.destination} gives, mode is {spec.mode}"
        )
        hint = "Write `mode: update`: a record has such an id only once it is there, so none can be created by it."
        raise ConfigError(Problem(message, hint=hint))
    _refuse_shared_keys(spec, destination)
    if isinstance(destination, PublishesRuns):
        _refuse_unpublishable(spec)
        _refuse_two_whole_sets(spec, destination)
    if schema.kind == "records" and spec.mode == "update" and not isinstance(destination, LooksUp):
        message = f"{_where(spec)}: mode update can't be kept: {spec.destination} can't be searched"
        hint = "Write `mode: upsert`: what stands there already can't be told from what does not."
        raise ConfigError(Problem(message, hint=hint))
    if isinstance(destination, NeedsRecords) and destination.replaces_record(spec.object):
        ruled = sorted(name for name, rule in spec.fields.items() if rule.policy != "always")
        if ruled:
            message = (
                f"{_where(spec)}: fields.{ruled[0]}: an update replaces the whole record at {spec.destination}, so no"
                " field can be left to what stands there"
            )
            raise ConfigError(Problem(message, hint="Leave the policy out, or send only what changed."))


def _refuse_shared_keys(spec: SyncSpec, destination: Destination) -> None:
    """Where the destination keeps our key in one field for all syncs, key 1 of the one would be written over the record
    of key 1 of the other."""
    if spec.key_property is not None or spec.mode == "update" or not isinstance(destination, KeepsKeys):
        return
    if not destination.keeps_key(spec.object, spec.match_on):
        return
    for name, match_on in spec.beside:
        if destination.keeps_key(spec.object, match_on):
            message = (
                f"{_where(spec)}: {name} creates {spec.object} of {spec.destination} too, in the same field for keys"
            )
            hint = "Write `key_property: …` in one of the two: a field for its keys alone."
            raise ConfigError(Problem(message, hint=hint))


def _refuse_unpublishable(spec: SyncSpec) -> None:
    """Of a destination that takes a run as a whole."""
    for word, name in (("match_on", spec.match_on), ("key_property", spec.key_property)):
        if name is not None:
            message = f"{_where(spec)}: {word}: what {spec.destination} is given is known by its key {spec.key!r} alone"
            raise ConfigError(Problem(message, hint=f"Leave {word} out: nothing is looked for there."))
    if spec.metadata:
        message = f"{_where(spec)}: metadata: {spec.destination} takes no fields that tell of the run"
        raise ConfigError(Problem(message, hint="Leave them out: what is published names its run and when it began."))
    if OPERATION in (spec.key, *spec.sent_columns):
        message = f"{_where(spec)}: a column is called {OPERATION}, in which {spec.destination} is told what was done"
        raise ConfigError(Problem(message, hint="Give it another name in the model."))


def _refuse_two_whole_sets(spec: SyncSpec, destination: PublishesRuns) -> None:
    """Each run says of an object which records there are. Of two syncs the later one would say that those of the other
    are gone, and whoever reads the newest set has half of it."""
    if destination.contents(spec.object) != "full" or not spec.beside:
        return
    others = " and ".join(name for name, _ in spec.beside)
    message = (
        f"{_where(spec)}: {others} writes every record of {spec.object} to {spec.destination} too, so each would"
        f" replace what {spec.name} writes there"
    )
    hint = "Give one of them another `object`, or a destination of its own; or write `contents: changes`."
    raise ConfigError(Problem(message, hint=hint))


def consequences(spec: SyncSpec, destination: Destination, schema: ObjectSchema | None, changes: int) -> list[str]:
    """Sentences for people, without keys and values. `schema` is None where the plan had nothing to ask; `changes` are
    the records that will be sent."""
    name, out = spec.destination, []
    if schema is not None and schema.kind == "events":
        out.append(_of_events(name, schema))
    elif isinstance(destination, PublishesRuns):
        out += _published(name, destination, spec.object)
    else:
        if not isinstance(destination, LooksUp):
            out.append(_without_search(spec, destination))
        if not isinstance(destination, ReadsBack):
            out.append(_without_reading(name, destination))
    if destination.limits(spec.object).atomic:
        out.append(f"{name} takes a batch whole or not at all: a refused one is halved until the culprit stands alone")
    if isinstance(destination, NeedsRecords) and destination.replaces_record(spec.object):
        out.append(f"an update replaces the whole record at {name}: what people changed in any of our fields goes too")
    if changes and by_jobs(destination, spec.object, changes):
        out.append("sent as jobs, which are followed to their end: by the next run, where this one is stopped")
    return out


def _of_events(name: str, schema: ObjectSchema) -> str:
    if schema.event_id is None:
        return f"{name} only adds events and would take one twice: one whose answer is lost is not sent again"
    return f"{name} only adds events: a changed row is not sent, unless its {schema.event_id} changed too"


def _published(name: str, destination: PublishesRuns, object_: str) -> list[str]:
    given = {
        "changes": "the records that differ from what it was given before, each with what was done to it",
        "full": "every record that stands after the run, where any differs from what it was given before",
    }
    return [
        f"{name} takes a run as a whole: {given[destination.contents(object_)]}",
        f"{name} can't be read: drift is not seen, and a rollback is a run that gives the values of before once more",
    ]


def _without_search(spec: SyncSpec, destination: Destination) -> str:
    name = spec.destination
    said = f"{name} can't be searched, so nothing is adopted: a record that is new to us is "
    if destination.idempotent(spec.object, spec.match_on):
        by = f"its {spec.match_on}" if spec.match_on else "its key"
        return said + f"created, or written over the one that has {by} there"
    return said + "created, and one whose answer is lost is not sent again until a person has looked"


def _without_reading(name: str, destination: Destination) -> str:
    said = f"{name} can't be read by id: drift is not seen, "
    if write_only(destination):
        said += "and a rollback sends the values that were sent before over what people may have changed there since"
        return said
    return said + "and no run can be rolled back"


def _where(spec: SyncSpec) -> str:
    return spec.where or f"sync {spec.name}"
