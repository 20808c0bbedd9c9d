"""`key_property`: a field of the destination that holds our key. By it a record is found again whatever else of it has
changed, and a create that is repeated finds the record that the first one made.

It is a field of the plan like any other (`state.sync_tables`): a new record is made with it, and who is adopted or has
none yet is given it, before → after. Before anything is created records are looked for by it, and only then by
`match_on` (`matching`). Whoever writes a record gives it the key again where a person took it away, or where a merge
left that of another (`standing`).

What can fail here, and what then happens:
- there is no such field and the connector makes none, it is not unique, or keys are addresses → ConfigError when it is
  planned; nothing was sent.
- the credentials do not suffice for making it → Denied when it is planned, where the connector can tell.
- it can't be made → ConfigError before the first record is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from revetl.destinations.base import Destination, DestinationField, RecordMatch
from revetl.destinations.capabilities import LooksUp, MakesKeyFields, ProbesKeyFields
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.model import Scalar, SyncSpec
from revetl.state.sync_tables import SyncTables
from revetl.sync.batching import ask_in_batches


def described(
    spec: SyncSpec, destination: Destination, fields: Mapping[str, DestinationField]
) -> Mapping[str, DestinationField]:
    """The object's fields, with the key's as it will be where it is still to be made. ConfigError where it can't be."""
    name = spec.key_property
    if name is None:
        return fields
    at, target = f"{spec.where or f'sync {spec.name}'}: key_property", f"{spec.destination} {spec.object}"
    if not isinstance(destination, LooksUp):
        hint = "Leave it out: it is for finding records by it."
        raise ConfigError(Problem(f"{at}: {spec.destination} can't be searched", hint=hint))
    if name not in fields:
        if not isinstance(destination, MakesKeyFields):
            raise ConfigError(Problem(f"{at}: {target} has no field {name!r}", hint=did_you_mean(name, [*fields])))
        return {**fields, name: DestinationField(name, "string", unique=True, vacatable=True)}
    if not fields[name].unique or fields[name].type != "string":
        message = f"{at}: {name!r} of {target} is no unique text field, so it can't name a record"
        raise ConfigError(Problem(message, hint="Name one that is, or one that is not there yet."))
    return fields


def check_keys(tables: SyncTables) -> None:
    """ConfigError where a key of the plan is an address. It would stand in a field that nobody takes for personal data,
    and stay there when the person's email is changed or emptied."""
    if tables.spec.key_property is None:
        return
    if tables.warehouse.rows(f"SELECT 1 FROM {tables.plan} WHERE contains(key, '@') LIMIT 1"):
        spec = tables.spec
        message = f"{spec.where or f'sync {spec.name}'}: key_property: {spec.key} holds addresses"
        hint = "Give the model a key that says nothing of the person, or leave key_property out."
        raise ConfigError(Problem(message, hint=hint))


async def make(spec: SyncSpec, destination: Destination) -> None:
    """Before anything is sent: the field stands. Safe to repeat."""
    if spec.key_property is not None and isinstance(destination, MakesKeyFields):
        await destination.make_key_field(spec.object, spec.key_property)


async def to_make(spec: SyncSpec, destination: Destination) -> list[str]:
    """A sentence where a field for keys is made when the plan is sent: it changes the account. Denied where the
    credentials do not suffice for it. Sends nothing; safe to repeat."""
    if not isinstance(destination, ProbesKeyFields):
        return []
    name = await destination.key_field_to_make(spec.object, spec.created_through)
    return [] if name is None else [f"{name}: a field that {spec.destination} {spec.object} lacks; made for our keys"]


async def find(
    spec: SyncSpec, destination: Destination, keys: Sequence[str], names: Sequence[str]
) -> dict[str, RecordMatch] | None:
    """Which of our keys stand there, by the key. None where nobody was asked: the field is still to be made."""
    field = spec.key_property
    if field is None or not isinstance(destination, LooksUp):
        return None
    if field not in (await destination.describe(spec.object)).fields:
        return None
    able, limits = destination, destination.limits(spec.object)

    async def ask(values: Sequence[Scalar]) -> Mapping[str, RecordMatch]:
        return await able.look_up(spec.object, field, values, names)

    found: dict[str, RecordMatch] = {}
    for answer in await ask_in_batches(list(keys), limits.lookup_rows, limits, ask):
        found.update(answer)
    forms = ((key, destination.normalise(spec.object, field, key)) for key in keys)
    return {key: found[form] for key, form in forms if form in found}
