"""The vendors of the enrichment proofs: the shipped specs, made quick for a sandbox that does not throttle, a table of
people whose keys are the ids on the vendors' invoice, and that invoice."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from revetl.clock import Clock, SystemClock
from revetl.model import Relation
from revetl.providers.engine.declarative import DeclarativeProvider
from revetl.providers.grammar import EndpointLimits, ProviderSpec, load_providers
from revetl.providers.options import AccountOptions
from revetl.providers.registry import connect
from revetl.state.schema import create_all
from revetl.warehouse.base import Warehouse
from tests.support.sandbox_world import company, person

SPECS = load_providers(Path(__file__).resolve().parents[1] / "enrichment" / "providers")
PEOPLE = Relation("marts", "golden_contacts")
INPUTS = ("first_name", "last_name", "company_domain")
KEY = "key-of-a-proof"
ASK_AT_ONCE = 3
JOB_S = 0.1


class ShiftedClock(SystemClock):
    """The real time from an agreed moment on, so that a proof has its day and its hours."""

    def __init__(self, start: datetime) -> None:
        self._start, self._zero = start, self.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic() - self._zero)


def at(hours: float) -> ShiftedClock:
    """So many hours into the proof's day."""
    return ShiftedClock(datetime(2026, 6, 10, tzinfo=UTC) + timedelta(hours=hours))


def hurried(names: Iterable[str], *, batch: int, at_once: int = ASK_AT_ONCE) -> dict[str, ProviderSpec]:
    """The specs without limits, in batches of `batch`, `at_once` calls at a time, with jobs that are polled for at
    once."""
    return {name: _hurried(SPECS[name], batch, at_once) for name in names}


def _hurried(spec: ProviderSpec, batch: int, at_once: int) -> ProviderSpec:
    changes: dict[str, Any] = {"limits": EndpointLimits(concurrency=at_once)}
    if spec.batch is not None:
        changes["batch"] = spec.batch.model_copy(update={"size": batch})
    if spec.job is not None:
        poll = spec.job.poll.model_copy(update={"every_s": JOB_S / 2, "backoff": 1.0, "patience_s": 60.0})
        changes["job"] = spec.job.model_copy(update={"poll": poll, "at_once": ASK_AT_ONCE, "callback": None})
    return spec.model_copy(update=changes)


def connected(
    specs: Mapping[str, ProviderSpec], url: str, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
) -> dict[str, DeclarativeProvider]:
    """Of the sandbox at `url`, for one run."""

    def options(vendor: str) -> AccountOptions:
        return AccountOptions.model_validate({"base_url": f"{url}/providers/{vendor}", "api_key": KEY})

    return connect(list(specs), specs, options, clock, transport)


def load_people(warehouse: Warehouse, numbers: Iterable[int]) -> None:
    """The table of people of `tests.support.sandbox_world` without what a waterfall is to find."""
    create_all(warehouse)
    warehouse.execute("CREATE SCHEMA IF NOT EXISTS marts")
    columns = ("golden_id", *INPUTS, "email", "job_title")
    cells = ", ".join(f"{name} VARCHAR" for name in columns)
    warehouse.execute(f"CREATE OR REPLACE TABLE marts.golden_contacts ({cells})")
    rows = []
    for number in numbers:
        who = person(number)
        domain = company(int(str(who.company_id).removeprefix("c"))).domain
        rows.append((who.person_id, who.first_name, who.last_name, domain, None, None))
    data = {name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(columns)}
    warehouse.append(PEOPLE, pa.table(data))


Bills = dict[tuple[str, str], list[Decimal]]


def invoice(url: str) -> Bills:
    """(vendor, whom or what it is about) → what was charged for it, line by line; a refund goes off its hold, and what
    was free is not there."""
    with urllib.request.urlopen(f"{url}/_sandbox/invoice") as answer:
        document = json.load(answer)
    found: Bills = {}
    for line in document["rows"]:
        usd = Decimal(line["usd"])
        lines = found.setdefault((line["vendor"], line["subject"]), [])
        if line["kind"] == "refund":
            lines.remove(-usd)
        elif usd:
            lines.append(usd)
    return {place: lines for place, lines in found.items() if lines}


def forget(url: str) -> None:
    """New books: nothing was ever asked or charged."""
    request = urllib.request.Request(f"{url}/_sandbox/reset", data=b"{}", headers={"content-type": "application/json"})
    urllib.request.urlopen(request).close()


def total(bills: Bills) -> Decimal:
    return sum((usd for lines in bills.values() for usd in lines), Decimal(0))
