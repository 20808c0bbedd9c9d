"""The objects of the org and their fields, as `describe` shows them. A subset of the standard fields, with the standard
lengths (docs), and custom fields as an administrator would have made them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SalesforceField:
    """One field. `relationship`: the name under which a reference's parent is reached."""

    name: str
    type: str = "string"
    length: int = 0
    required: bool = False
    createable: bool = True
    updateable: bool = True
    unique: bool = False
    case_sensitive: bool = False
    external_id: bool = False
    id_lookup: bool = False
    restricted: bool = False
    picklist: tuple[str, ...] = ()
    reference_to: str | None = None
    relationship: str | None = None
    default: Any = None

    def described(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "label": self.name.removesuffix("__c").replace("_", " "),
            "type": self.type,
            "length": self.length,
            "precision": 18 if self.type in ("double", "currency", "percent") else 0,
            "scale": 2 if self.type in ("double", "currency", "percent") else 0,
            "nillable": not self.required and self.type != "boolean",
            "createable": self.createable,
            "updateable": self.updateable,
            "unique": self.unique,
            "caseSensitive": self.case_sensitive,
            "externalId": self.external_id,
            "idLookup": self.id_lookup or self.external_id,
            "restrictedPicklist": self.restricted,
            "picklistValues": [
                {"value": v, "label": v, "active": True, "defaultValue": v == self.default} for v in self.picklist
            ],
            "referenceTo": [self.reference_to] if self.reference_to else [],
            "relationshipName": self.relationship,
            "calculated": False,
            "defaultedOnCreate": self.default is not None or self.type == "boolean",
            "custom": self.name.endswith("__c"),
        }


@dataclass(frozen=True, slots=True)
class SalesforceObject:
    """One object. `prefix`: how its ids begin (docs). `refused`: flags of `describe` that are false,
    for the user's profile does not allow it."""

    name: str
    prefix: str
    fields: dict[str, SalesforceField]
    refused: frozenset[str] = frozenset()

    def field(self, name: str) -> SalesforceField | None:
        """Names are the same in any case (docs)."""
        found = self.fields.get(name)
        return found or next((f for f in self.fields.values() if f.name.lower() == name.lower()), None)

    def parent(self, relationship: str) -> SalesforceField | None:
        lower = relationship.lower()
        return next((f for f in self.fields.values() if (f.relationship or "").lower() == lower), None)

    def described(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "label": self.name,
            "keyPrefix": self.prefix,
            **{flag: flag not in self.refused for flag in ("createable", "updateable", "deletable", "queryable")},
            "fields": [f.described() for f in self.fields.values()],
        }


def _system(name: str, type_: str, length: int = 0, **more: Any) -> SalesforceField:
    return SalesforceField(name, type_, length, createable=False, updateable=False, **more)


def _reference(name: str, to: str, relationship: str, **more: Any) -> SalesforceField:
    return SalesforceField(name, "reference", 18, reference_to=to, relationship=relationship, **more)


def _object(
    name: str, prefix: str, fields: Iterable[SalesforceField], refused: frozenset[str] = frozenset()
) -> SalesforceObject:
    every = [
        _system("Id", "id", 18, id_lookup=True),
        _system("IsDeleted", "boolean"),
        *fields,
        _system("CreatedDate", "datetime"),
        _system("LastModifiedDate", "datetime"),
        _system("SystemModstamp", "datetime"),
    ]
    return SalesforceObject(name, prefix, {f.name: f for f in every}, refused)


_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
_EXTERNAL = SalesforceField("ExternalId__c", length=64, unique=True, external_id=True)
_TIER = SalesforceField("Tier__c", "picklist", 255, restricted=True, picklist=("Bronze", "Silver", "Gold"))
_LANGUAGES = SalesforceField("Languages__c", "multipicklist", 4099, picklist=("de", "en", "fr", "lv"))
_ORIGIN = SalesforceField("Origin__c", length=80, updateable=False)
_OWNER = _reference("OwnerId", "User", "Owner")
# Loses of a merge name the record that is left (docs).
_MASTER = _reference("MasterRecordId", "", "MasterRecord", createable=False, updateable=False)


def _person(company: Iterable[SalesforceField]) -> list[SalesforceField]:
    return [
        SalesforceField("FirstName", length=40),
        SalesforceField("LastName", length=80, required=True),
        _system("Name", "string", 121),
        *company,
        SalesforceField("Email", "email", 80, id_lookup=True),
        SalesforceField("Phone", "phone", 40),
        SalesforceField("Title", length=128),
        SalesforceField("Description", "textarea", 32_000),
        SalesforceField("DoNotCall", "boolean"),
        SalesforceField("LeadSource", "picklist", 255, picklist=_SOURCES),
        SalesforceField("Score__c", "double"),
        SalesforceField("Seen__c", "datetime"),
        _TIER,
        _LANGUAGES,
        _ORIGIN,
        _EXTERNAL,
        _OWNER,
        _MASTER,
    ]


def standard_objects() -> dict[str, SalesforceObject]:
    """Name → object."""
    contact = [
        _reference("AccountId", "Account", "Account"),
        _reference("ReportsToId", "Contact", "ReportsTo"),
        SalesforceField("Birthdate", "date"),
    ]
    lead = [
        SalesforceField("Company", length=255, required=True),
        SalesforceField("Status", "picklist", 255, picklist=("Open", "Working", "Closed"), default="Open"),
        _system("IsConverted", "boolean"),
        _system("ConvertedContactId", "reference", 18, reference_to="Contact"),
    ]
    account = [
        SalesforceField("Name", length=255, required=True),
        SalesforceField("Website", "url", 255),
        SalesforceField("Phone", "phone", 40),
        SalesforceField("Industry", "picklist", 255, picklist=("Banking", "Energy", "Retail", "Other")),
        SalesforceField("NumberOfEmployees", "int"),
        SalesforceField("AnnualRevenue", "currency"),
        SalesforceField("Description", "textarea", 32_000),
        _reference("ParentId", "Account", "Parent"),
        _TIER,
        _EXTERNAL,
        _OWNER,
        _MASTER,
    ]
    user = [
        SalesforceField("Username", length=80, required=True, unique=True, id_lookup=True),
        SalesforceField("Email", "email", 128, required=True),
        SalesforceField("LastName", length=80, required=True),
    ]
    # A junction, as an administrator would have made one: which people stand for which accounts beside their own.
    role = [
        _reference("Contact__c", "Contact", "Contact__r", required=True),
        _reference("Account__c", "Account", "Account__r", required=True),
        SalesforceField("Role__c", length=80),
        _EXTERNAL,
    ]
    return {
        o.name: o
        for o in (
            _object("Account", "001", account),
            _object("Contact", "003", _person(contact)),
            _object("Lead", "00Q", _person(lead)),
            _object("AccountRole__c", "a00", role),
            _object("User", "005", user, frozenset({"deletable"})),
        )
    }
