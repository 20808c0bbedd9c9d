"""Properties, and which of them the portal has from the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from revetl.sandbox.hubspot.object_types import STANDARD_TYPES

# In the order in which a contact may only move forward.
LIFECYCLE_STAGES = (
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
)

# Internal values of the standard company property `industry` (docs; the common part of the vendor's longer list).
_INDUSTRY_WORDS = (
    "ACCOUNTING AIRLINES_AVIATION APPAREL_FASHION ARCHITECTURE_PLANNING AUTOMOTIVE AVIATION_AEROSPACE BANKING "
    "BIOTECHNOLOGY BROADCAST_MEDIA BUILDING_MATERIALS BUSINESS_SUPPLIES_AND_EQUIPMENT CAPITAL_MARKETS CHEMICALS "
    "CIVIL_ENGINEERING COMMERCIAL_REAL_ESTATE COMPUTER_HARDWARE COMPUTER_NETWORKING COMPUTER_SOFTWARE "
    "COMPUTER_NETWORK_SECURITY CONSTRUCTION CONSUMER_ELECTRONICS CONSUMER_GOODS CONSUMER_SERVICES COSMETICS DAIRY "
    "DEFENSE_SPACE DESIGN EDUCATION_MANAGEMENT E_LEARNING ELECTRICAL_ELECTRONIC_MANUFACTURING ENTERTAINMENT "
    "ENVIRONMENTAL_SERVICES EVENTS_SERVICES FACILITIES_SERVICES FARMING FINANCIAL_SERVICES FOOD_BEVERAGES "
    "FOOD_PRODUCTION FURNITURE GOVERNMENT_ADMINISTRATION GRAPHIC_DESIGN HEALTH_WELLNESS_AND_FITNESS HIGHER_EDUCATION "
    "HOSPITAL_HEALTH_CARE HOSPITALITY HUMAN_RESOURCES IMPORT_AND_EXPORT INDUSTRIAL_AUTOMATION INFORMATION_SERVICES "
    "INFORMATION_TECHNOLOGY_AND_SERVICES INSURANCE INTERNATIONAL_TRADE_AND_DEVELOPMENT INTERNET INVESTMENT_BANKING "
    "INVESTMENT_MANAGEMENT LAW_PRACTICE LEGAL_SERVICES LEISURE_TRAVEL_TOURISM LOGISTICS_AND_SUPPLY_CHAIN "
    "LUXURY_GOODS_JEWELRY MACHINERY MANAGEMENT_CONSULTING MARITIME MARKETING_AND_ADVERTISING MARKET_RESEARCH "
    "MECHANICAL_OR_INDUSTRIAL_ENGINEERING MEDIA_PRODUCTION MEDICAL_DEVICES MEDICAL_PRACTICE MENTAL_HEALTH_CARE "
    "MINING_METALS NON_PROFIT_ORGANIZATION_MANAGEMENT OIL_ENERGY ONLINE_MEDIA OUTSOURCING_OFFSHORING "
    "PACKAGE_FREIGHT_DELIVERY PACKAGING_AND_CONTAINERS PHARMACEUTICALS PLASTICS PRINTING PRIMARY_SECONDARY_EDUCATION "
    "PROFESSIONAL_TRAINING_COACHING PUBLIC_RELATIONS_AND_COMMUNICATIONS PUBLISHING RAILROAD_MANUFACTURE REAL_ESTATE "
    "RENEWABLES_ENVIRONMENT RESEARCH RESTAURANTS RETAIL SECURITY_AND_INVESTIGATIONS SEMICONDUCTORS SHIPBUILDING "
    "SPORTING_GOODS SPORTS STAFFING_AND_RECRUITING SUPERMARKETS TELECOMMUNICATIONS TEXTILES "
    "TRANSPORTATION_TRUCKING_RAILROAD UTILITIES VENTURE_CAPITAL_PRIVATE_EQUITY VETERINARY WAREHOUSING WHOLESALE "
    "WINE_AND_SPIRITS WIRELESS"
)
INDUSTRIES = tuple(_INDUSTRY_WORDS.split())

MAX_UNIQUE_PROPERTIES = 10
# Answered from the record itself; never stored as a value.
SYSTEM_PROPERTIES = frozenset(
    {"hs_object_id", "createdate", "hs_createdate", "lastmodifieddate", "hs_lastmodifieddate"}
)
# What an answer holds where no properties were asked for (captured).
DEFAULT_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    "deals": ("amount", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id", "pipeline"),
    "tickets": ("createdate", "hs_lastmodifieddate", "hs_object_id", "hs_pipeline", "hs_pipeline_stage", "subject"),
}
_FIELD_TYPES = {
    "string": "text",
    "number": "number",
    "date": "date",
    "datetime": "date",
    "bool": "booleancheckbox",
    "enumeration": "select",
}


@dataclass(slots=True)
class Property:
    """One property of an object type. `options` maps internal value to label and matters only to enumerations; where
    they are `external`, the definition does not list them: they are the account's owners. `calculated`: HubSpot works
    the value out, so that it can't be written."""

    name: str
    type: str
    field_type: str = ""
    label: str = ""
    group: str = ""
    description: str = ""
    read_only: bool = False
    unique: bool = False
    hubspot_defined: bool = True
    options: dict[str, str] = field(default_factory=dict)
    calculated: bool = False
    external: bool = False

    def __post_init__(self) -> None:
        self.field_type = self.field_type or _FIELD_TYPES[self.type]
        self.label = self.label or self.name.replace("_", " ").capitalize()
        self.read_only = self.read_only or self.calculated

    def as_json(self, order: int = -1) -> dict[str, Any]:
        listed = {} if self.external else self.options
        shown: dict[str, Any] = {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "groupName": self.group,
            "description": self.description,
            "options": [
                {"label": label, "value": value, "displayOrder": i, "hidden": False}
                for i, (value, label) in enumerate(listed.items())
            ],
            "displayOrder": order,
            "hasUniqueValue": self.unique,
            "hidden": False,
            "hubspotDefined": self.hubspot_defined,
            "calculated": self.calculated,
            "externalOptions": self.external,
            "archived": False,
            "formField": not self.read_only,
            "modificationMetadata": {
                "archivable": not self.hubspot_defined,
                "readOnlyDefinition": self.hubspot_defined,
                "readOnlyOptions": self.hubspot_defined,
                "readOnlyValue": self.read_only,
            },
        }
        if self.external:
            shown["referencedObjectType"] = "OWNER"
        return shown


_STANDARD: Mapping[str, Mapping[str, str]] = {
    "contacts": {
        "string": "firstname lastname phone mobilephone jobtitle company website address city state zip country "
        "hs_linkedin_url hs_additional_emails hs_seniority salutation",
        "number": "associatedcompanyid",
        "date": "closedate",
    },
    "companies": {
        "string": "name domain hs_additional_domains website phone description address city state zip country "
        "linkedin_company_page founded_year about_us",
        "number": "numberofemployees annualrevenue",
        "datetime": "closedate",
    },
    "deals": {
        "string": "dealname description",
        "number": "amount",
        "datetime": "closedate",
    },
    "tickets": {"string": "subject content"},
}


# What HubSpot works out by itself, of the long list that it has (docs).
_CALCULATED: Mapping[str, Mapping[str, str]] = {
    "contacts": {"hs_email_domain": "string", "hubspotscore": "number"},
    "companies": {"num_associated_contacts": "number", "num_associated_deals": "number"},
    "deals": {"num_associated_contacts": "number"},
    "tickets": {},
}


def starting_properties(object_type: str) -> dict[str, Property]:
    """What a fresh portal has, and the custom properties of the starter project's portal."""
    if object_type not in _STANDARD:
        return _of_an_own_type()
    group = f"{STANDARD_TYPES[object_type].singular}information"
    found: dict[str, Property] = {}

    def add(name: str, type_: str, **more: Any) -> None:
        found[name] = Property(name, type_, group=group, **more)

    for type_, names in _STANDARD[object_type].items():
        for name in names.split():
            add(name, type_)
    # Its values are the ids of the owners; the definition refers to them and lists none (captured).
    add("hubspot_owner_id", "enumeration", external=True)
    for name, type_ in _CALCULATED[object_type].items():
        add(name, type_, calculated=True)
    add("hs_object_id", "number", read_only=True, unique=False)
    add("createdate", "datetime", read_only=True)
    add("hs_merged_object_ids", "enumeration", field_type="checkbox", read_only=True)
    add("lastmodifieddate" if object_type == "contacts" else "hs_lastmodifieddate", "datetime", read_only=True)
    if object_type == "contacts":
        # The vendor's definition says hasUniqueValue false; email is unique all the same.
        add("email", "string")
        add("notes_last_contacted", "datetime", read_only=True)
    if pipeline := STANDARD_TYPES[object_type].pipeline:
        # Their options are the ids of the account's pipelines and stages (docs).
        add(pipeline[0], "enumeration")
        add(pipeline[1], "enumeration", field_type="radio")
    if object_type == "tickets":
        add("hs_ticket_priority", "enumeration", options={v: v.title() for v in ("LOW", "MEDIUM", "HIGH", "URGENT")})
    if object_type in ("contacts", "companies"):
        add("lifecyclestage", "enumeration", field_type="radio", options={s: s for s in LIFECYCLE_STAGES})
    if object_type == "companies":
        add("industry", "enumeration", options={v: v.replace("_", " ").title() for v in INDUSTRIES})
        add("hs_is_target_account", "enumeration", field_type="booleancheckbox", options={"true": "Yes", "false": "No"})
    if object_type == "contacts":
        options = {v: v.title() for v in ("EMAIL", "PHONE", "POST")}
        add("hs_preferred_channels", "enumeration", field_type="checkbox", options=options)
    for name, type_ in _CUSTOM.items():
        add(name, type_, hubspot_defined=False)
    return found


def _of_an_own_type() -> dict[str, Property]:
    """What every type that an account defines has (docs)."""
    found = {
        "hs_object_id": Property("hs_object_id", "number", read_only=True),
        "hs_createdate": Property("hs_createdate", "datetime", read_only=True),
        "hs_lastmodifieddate": Property("hs_lastmodifieddate", "datetime", read_only=True),
        "hs_merged_object_ids": Property("hs_merged_object_ids", "enumeration", "checkbox", read_only=True),
        "hubspot_owner_id": Property("hubspot_owner_id", "enumeration", external=True),
        "hs_pipeline": Property("hs_pipeline", "enumeration"),
        "hs_pipeline_stage": Property("hs_pipeline_stage", "enumeration", "radio"),
    }
    for property_ in found.values():
        property_.group = "information"
    return found


_CUSTOM = {"plan_name": "string", "mrr_usd": "number", "open_tickets": "number", "last_seen_at": "datetime"}
