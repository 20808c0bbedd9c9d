"""A warehouse whose rows are awkward on purpose, synced by the engine into the HubSpot sandbox: what readers and
published descriptions are held against."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from revetl.clock import SystemClock
from revetl.destinations.hubspot import HubSpot, Options
from revetl.model import Association, Guardrails, Relation, Scalar, SyncSpec
from revetl.sync import SyncOptions, SyncReport, run_sync
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.sync_bench import context

# More than the 100 of one page, each.
CONTACTS_N, COMPANIES_N, DEALS_N = 230, 120, 110

TEXTS = (
    "Zoë",
    "Žižkov & Söhne",
    "李雷",
    "עִבְרִית",
    "👩‍💻 x",
    'O\'Brien; "quoted", with a comma',
    "two\nlines\tand a tab",
    "007",
    "null",
    "<b>&amp;</b>",
    "=1+1",
    "1e5",
    "true",
    "",
    None,
)
AMOUNTS = (Decimal("0.01"), Decimal("-1234.5600"), Decimal("99999999999999.9999"), Decimal(0), Decimal("1.5"), None)
WHOLE = (0, 1, -7, 9_007_199_254_740_993, 2**63 - 1, None)
DAYS = (date(1970, 1, 1), date(2024, 2, 29), date(1905, 3, 31), date(2099, 12, 31), None)
MOMENTS = (
    datetime.fromisoformat("2026-01-01T10:00:00.123"),
    datetime.fromisoformat("1969-12-31T23:59:59.999"),
    datetime.fromisoformat("2024-02-29T00:00:00"),
    None,
)
STAGES = ("lead", "customer", "other", None)
CHANNELS = ("EMAIL", "PHONE;POST", "EMAIL;PHONE;POST", None)
OWNERS = ("710001", "710003", None)  # of those who work in the sandbox's account
PIPELINE = "default"
DEAL_STAGES = ("appointmentscheduled", "closedwon", "contractsent")
INDUSTRIES = ("COMPUTER_SOFTWARE", "OIL_ENERGY", None)

COMPANIES = SyncSpec(
    name="hubspot__companies",
    relation=Relation("main", "companies"),
    destination="hubspot",
    object="companies",
    key="golden_id",
    match_on="domain",
    columns=(
        "golden_id",
        "domain",
        "name",
        "numberofemployees",
        "annualrevenue",
        "industry",
        "hs_is_target_account",
        "description",
        "closedate",
    ),
    guardrails=Guardrails(max_deleted_share=1.0, deletes_declared=True),
)
CONTACTS = replace(
    COMPANIES,
    name="hubspot__contacts",
    relation=Relation("main", "contacts"),
    object="contacts",
    match_on="email",
    mode="mirror",
    on_leave="archive",
    columns=(
        "golden_id",
        "email",
        "firstname",
        "lastname",
        "lifecyclestage",
        "hs_preferred_channels",
        "mrr_usd",
        "open_tickets",
        "last_seen_at",
        "closedate",
        "hubspot_owner_id",
        "company_golden_id",
    ),
    associate=(Association("hubspot__companies", "company_golden_id", 1, "companies"),),
)
DEALS = replace(
    COMPANIES,
    name="hubspot__deals",
    relation=Relation("main", "deals"),
    object="deals",
    match_on=None,
    columns=(
        "golden_id",
        "dealname",
        "amount",
        "closedate",
        "description",
        "pipeline",
        "dealstage",
        "company_golden_id",
        "contact_golden_id",
    ),
    associate=(
        Association("hubspot__companies", "company_golden_id", 341, "companies"),
        Association("hubspot__contacts", "contact_golden_id", 3, "contacts"),
    ),
)
SPECS = (COMPANIES, CONTACTS, DEALS)
# What HubSpot calls the type of each column that is sent.
TYPES = {
    "contacts": {
        **dict.fromkeys(("email", "firstname", "lastname"), "string"),
        **dict.fromkeys(("lifecyclestage", "hs_preferred_channels", "hubspot_owner_id"), "enumeration"),
        **dict.fromkeys(("mrr_usd", "open_tickets"), "number"),
        "last_seen_at": "datetime",
        "closedate": "date",
    },
    "companies": {
        **dict.fromkeys(("domain", "name", "description"), "string"),
        **dict.fromkeys(("numberofemployees", "annualrevenue"), "number"),
        **dict.fromkeys(("industry", "hs_is_target_account"), "enumeration"),
        "closedate": "datetime",
    },
    "deals": {
        **dict.fromkeys(("dealname", "description"), "string"),
        **dict.fromkeys(("pipeline", "dealstage"), "enumeration"),
        "amount": "number",
        "closedate": "datetime",
    },
}


@dataclass(frozen=True)
class World:
    """`warehouse` and where its records were sent."""

    base_url: str
    warehouse: DuckDBWarehouse

    async def sync(self, spec: SyncSpec, **options: object) -> SyncReport:
        """A process of its own: a new connection to HubSpot, the same warehouse."""
        given = {"token": "pat-test", "searches_per_s": 100, "requests_per_10_s": 1000} | options
        settings = Options.model_validate({"base_url": self.base_url, **given})
        clock = SystemClock()
        async with HubSpot("hubspot", settings, clock, rng=random.Random(1)) as destination:
            return await run_sync(context(self.warehouse, clock), spec, destination, SyncOptions())

    def ids(self, spec: SyncSpec) -> dict[str, str]:
        """Key → the id that HubSpot gave."""
        rows = self.warehouse.rows(f"SELECT key, destination_id FROM revetl.snapshot__{spec.name}")
        return {str(key): str(id_) for key, id_ in rows}

    def rows(self, spec: SyncSpec) -> dict[str, dict[str, Scalar]]:
        """Key → the values of the columns that are sent."""
        names = ", ".join(f'"{c}"' for c in (spec.key, *spec.sent_columns))
        rows = self.warehouse.rows(f"SELECT {names} FROM {spec.relation.name}")
        return {str(row[0]): dict(zip(spec.sent_columns, row[1:], strict=True)) for row in rows}

    def links(self) -> Iterator[tuple[str, str, str, str, int]]:
        """Object, id, object, id and the vendor's type of each link that the models declare. A primary company is an
        unlabelled one too (docs)."""
        ids = {spec.name: self.ids(spec) for spec in SPECS}
        for spec in SPECS:
            for association in spec.associate:
                rows = self.warehouse.rows(f"SELECT {spec.key}, {association.by} FROM {spec.relation.name}")
                for key, other in rows:
                    if other is None:
                        continue
                    ends = (spec.object, ids[spec.name][str(key)], association.object, ids[association.to][str(other)])
                    yield (*ends, association.type)
                    if association.type == 1:
                        yield (*ends, 279)


def nth(values: tuple[Scalar, ...], i: int) -> Scalar:
    return values[i % len(values)]


def fill(warehouse: DuckDBWarehouse, *, people: int, firms: int, deals: int) -> None:
    warehouse.execute(
        "CREATE TABLE companies (golden_id VARCHAR, domain VARCHAR, name VARCHAR, numberofemployees BIGINT,"
        " annualrevenue DECIMAL(18, 4), industry VARCHAR, hs_is_target_account BOOLEAN, description VARCHAR,"
        " closedate TIMESTAMP)"
    )
    warehouse.execute(
        "CREATE TABLE contacts (golden_id VARCHAR, email VARCHAR, firstname VARCHAR, lastname VARCHAR,"
        " lifecyclestage VARCHAR, hs_preferred_channels VARCHAR, mrr_usd DECIMAL(18, 4), open_tickets BIGINT,"
        " last_seen_at TIMESTAMP, closedate DATE, hubspot_owner_id VARCHAR, company_golden_id VARCHAR)"
    )
    warehouse.execute(
        "CREATE TABLE deals (golden_id VARCHAR, dealname VARCHAR, amount DECIMAL(18, 4), closedate TIMESTAMP,"
        " description VARCHAR, pipeline VARCHAR, dealstage VARCHAR, company_golden_id VARCHAR,"
        " contact_golden_id VARCHAR)"
    )
    flags: tuple[Scalar, ...] = (True, False, None)
    # Counts that share no divisor, so that kinds of values meet in many ways.
    for i in range(firms):
        values = [nth(TEXTS, i), nth(WHOLE, i), nth(AMOUNTS, i // 2), nth(INDUSTRIES, i), nth(flags, i // 3)]
        row = [f"k{i}", f"firm{i}.example", *values, nth(TEXTS, i * 7), nth(MOMENTS, i)]
        warehouse.execute("INSERT INTO companies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    for i in range(people):
        texts = [nth(TEXTS, i), nth(TEXTS, i * 2 + 1), nth(STAGES, i), nth(CHANNELS, i // 2)]
        numbers = [nth(AMOUNTS, i), nth(WHOLE, i // 3), nth(MOMENTS, i // 5), nth(DAYS, i)]
        firm = f"k{i % firms}" if i % 4 else None
        row = [f"c{i}", f"Person.{i}@Firm{i % firms}.example", *texts, *numbers, nth(OWNERS, i // 7), firm]
        warehouse.execute("INSERT INTO contacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    for i in range(deals):
        moment = nth(MOMENTS, i)
        closes = moment + timedelta(days=i) if isinstance(moment, datetime) else None
        ends = [f"k{i % firms}" if i % 3 else None, f"c{i % people}" if i % 5 else None]
        moved = [PIPELINE, nth(DEAL_STAGES, i)]
        row = [f"d{i}", f"Deal {i} {nth(TEXTS, i) or 'x'}", nth(AMOUNTS, i), closes, nth(TEXTS, i * 4), *moved, *ends]
        warehouse.execute("INSERT INTO deals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
