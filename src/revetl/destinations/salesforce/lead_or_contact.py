"""`object: LeadOrContact`, one object of ours over two of the org's: a person who is a Contact is updated there,
anybody else is a Lead, which is updated or made.

Who is meant, by `match_on`: a Contact that has the value; else the Contact that a Lead with the value was converted
into; else the oldest Lead that has it and was not converted. An id says itself which of the two it is of (docs: by its
first three characters), so everything after goes by the id. A Lead that people convert is followed as a merged record
is: reading its id gives the Contact.

The fields are those that both have. What a Lead alone has (`Company`, `Status`) is given when one is made and not
looked at again: it has no counterpart on a Contact, so no value of it may ever count as a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from revetl.destinations.base import RecordMatch
from revetl.destinations.salesforce.reading import SoqlReader
from revetl.destinations.salesforce.schema import DescribedField
from revetl.destinations.salesforce.values import whole_id
from revetl.errors import ConfigError

NAME = "LeadOrContact"
LEAD, CONTACT = "Lead", "Contact"
_PREFIXES = {"00Q": LEAD, "003": CONTACT}
_CONVERTED, _BECAME = "IsConverted", "ConvertedContactId"
NOTES = (
    "LeadOrContact: who is a Contact is updated there, anybody else is a Lead; converted Leads are followed",
    "what Leads alone have is given when one is made, and not compared afterwards",
)


def object_of(id_: str | None) -> str:
    """The org's object that a record of this id is of; without one it is to be made, as a Lead."""
    return _PREFIXES.get((id_ or "")[:3], LEAD)


def fields(leads: Mapping[str, DescribedField], contacts: Mapping[str, DescribedField]) -> dict[str, DescribedField]:
    """ConfigError where it can't be seen which Leads were converted."""
    if not leads.keys() >= {_CONVERTED, _BECAME}:
        raise ConfigError(f"{NAME} needs to see {_CONVERTED} and {_BECAME} of {LEAD}, and this user does not")
    shared = {name: _shared(lead, contacts[name]) for name, lead in leads.items() if name in contacts}
    alone = {n: f for n, f in leads.items() if n not in contacts and f.createable and f.reference is None}
    return {**shared, **alone}


def _shared(lead: DescribedField, contact: DescribedField) -> DescribedField:
    """A value has to fit both: which of them it goes to is known record by record."""
    options = tuple(o for o in lead.field.options if o in contact.field.options or not contact.field.options)
    field = replace(
        lead.field,
        read_only=lead.field.read_only or contact.field.read_only,
        unique=lead.field.unique and contact.field.unique,
        options=options or contact.field.options,
    )
    length = min(lead.length or contact.length, contact.length or lead.length)
    return replace(lead, field=field, length=length)


class LeadOrContactReader:
    """Reads both objects as one."""

    def __init__(self, leads: SoqlReader, contacts: SoqlReader) -> None:
        self._leads, self._contacts = leads, contacts

    async def find(self, by: str, values: Iterable[str], names: Sequence[str]) -> dict[str, RecordMatch]:
        """By the normal form of `by`, a field that both have."""
        wanted = set(values)
        found = await self._contacts.find(by, wanted, self._contacts.has(names))
        left = wanted - found.keys()
        converted = await self._leads.find(by, left, [_BECAME], f"{_CONVERTED} = true") if left else {}
        found |= await self._became(converted, names)
        left -= found.keys()
        leads = await self._leads.find(by, left, self._leads.has(names), f"{_CONVERTED} = false") if left else {}
        return found | leads

    async def read(self, ids: Sequence[str], names: Sequence[str]) -> dict[str, RecordMatch]:
        """By id, through merges and conversions."""
        leads = [id_ for id_ in ids if object_of(id_) == LEAD]
        found = await self._contacts.read([i for i in ids if object_of(i) == CONTACT], self._contacts.has(names))
        read = await self._leads.read(leads, [*self._leads.has(names), _CONVERTED, _BECAME])
        converted = {id_: match for id_, match in read.items() if match.fields[_CONVERTED]}
        found |= {id_: _without(match) for id_, match in read.items() if id_ not in converted}
        return found | await self._became(converted, names)

    async def _became(self, converted: Mapping[str, RecordMatch], names: Sequence[str]) -> dict[str, RecordMatch]:
        """The Contacts, by what the Leads were asked for by."""
        into = {asked: whole_id(str(m.fields[_BECAME])) for asked, m in converted.items() if m.fields[_BECAME]}
        contacts = await self._contacts.read(sorted({*into.values()}), self._contacts.has(names)) if into else {}
        return {asked: contacts[id_] for asked, id_ in into.items() if id_ in contacts}


def _without(match: RecordMatch) -> RecordMatch:
    return replace(match, fields={n: v for n, v in match.fields.items() if n not in (_CONVERTED, _BECAME)})
