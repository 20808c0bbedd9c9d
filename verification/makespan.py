"""How long a waterfall takes at its vendors' documented limits, on virtual time, beside what the busiest of them alone
must take: the sandbox's vendors keep their own count and refuse whoever is faster.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.report import Section
from revetl.clock import LoopClock
from revetl.context import RunContext
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.waterfall import WaterfallSpec
from revetl.providers.grammar import ProviderSpec
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.sandbox_world import COMPANIES, company, person
from tests.support.virtual_time import run_virtual
from verification import vendors
from verification.vendors import SPECS

RECORDS = int(os.environ.get("REVETL_MAKESPAN_RECORDS", "100000"))
LATENCY_S = 0.4
JOB_S = 45.0
# One by one, at 1000, 1000, 500, 300 and 300 a minute.
SINGLES = ("people_data_labs.person", "apollo.person", "hunter.email_finder", "prospeo.person",
           "leadmagic.email_finder")  # fmt: skip
# Batches of 100, 10 and 50, jobs of 100, and one by one.
MIXED = ("people_data_labs.person_bulk", "apollo.person_bulk", "prospeo.person_bulk", "fullenrich.email",
         "hunter.email_finder")  # fmt: skip
THROTTLED = ("throttled", "blocked", "rate_limit", "rate_limit_error", "rate_limited", "rate_limit_exceeded")


@dataclass(frozen=True)
class Busy:
    """One provider's part: questions, requests, refusals for haste, and the least time that so many requests take."""

    name: str
    asked: int
    requests: int
    refused: int
    least_s: float


@dataclass(frozen=True)
class Makespan:
    took_s: float
    providers: Sequence[Busy]
    asked_twice: int

    @property
    def busiest(self) -> Busy:
        return max(self.providers, key=lambda p: p.least_s)

    @property
    def ratio(self) -> float:
        return self.took_s / self.busiest.least_s

    @property
    def in_turn(self) -> float:
        """What it would be at best if one provider waited for the other."""
        return sum(p.least_s for p in self.providers) / self.busiest.least_s


def waterfall(names: Sequence[str]) -> WaterfallSpec:
    return WaterfallSpec.model_validate(
        {
            "name": "contacts",
            "entity": "golden_contacts",
            "inputs": {name: name for name in vendors.INPUTS},
            "fields": {"email": {}},
            "stages": [{"provider": name, "fills": ["email"]} for name in names],
        }
    )


@contextmanager
def truth(people: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        rows = [person(i) for i in range(people)]
        names = rows[0].__dataclass_fields__
        pq.write_table(pa.table({n: [getattr(row, n) for row in rows] for n in names}), path / "people.parquet")
        firms = [company(i) for i in range(COMPANIES)]
        names = firms[0].__dataclass_fields__
        pq.write_table(pa.table({n: [getattr(firm, n) for firm in firms] for n in names}), path / "companies.parquet")
        yield path


def least_s(spec: ProviderSpec, requests: int) -> float:
    """No client can be done earlier: in each window at most so many requests begin."""
    windows = [(requests - 1) // w.calls * w.seconds for w in spec.limits.windows]
    return max(*windows, requests * LATENCY_S / spec.limits.concurrency)


def run(names: Sequence[str], records: int) -> Makespan:
    spec = waterfall(names)
    specs = {name: SPECS[name] for name in names}
    warehouse = DuckDBWarehouse(":memory:", threads=2)
    vendors.load_people(warehouse, range(records))

    async def timed(folder: Path) -> Makespan:
        clock = LoopClock()
        settings = SandboxSettings(truth=folder, job_s=JOB_S)
        async with sandbox_in_process(settings, clock, LATENCY_S) as (transport, sandbox):
            asked = vendors.connected(specs, "https://sandbox.example", clock, transport)
            started = clock.monotonic()
            report = await run_waterfall(
                RunContext(warehouse=warehouse, clock=clock, run_id="timed", command="enrich", target="dev"),
                spec,
                asked,
                vendors.PEOPLE,
            )
            took = clock.monotonic() - started
            bills = sandbox.bills
        if report.exit_code:
            raise RuntimeError(f"the run did not end well: {report}")
        parts = []
        for name, provider in asked.items():
            answers = bills[specs[name].vendor].answers
            refused = sum(answers[word] for word in THROTTLED)
            least = least_s(specs[name], provider.requests)
            parts.append(Busy(name, report.providers[name].asked, provider.requests, refused, least))
        twice = warehouse.rows(
            "SELECT count(*) FROM (SELECT provider, request_hash FROM revetl.enrichment_calls"
            " WHERE status <> 'intent' GROUP BY ALL HAVING count(*) > 1)"
        )
        if report.spent_usd != sum((bill.charged_usd for bill in bills.values()), Decimal(0)):
            raise RuntimeError("ledger and invoice differ")
        return Makespan(took, parts, int(str(twice[0][0])))

    with truth(records) as folder:
        found = run_virtual(timed(folder))
    warehouse.close()
    return found


def measure() -> Section:
    runs = {"one by one": run(SINGLES, RECORDS), "batches and jobs": run(MIXED, RECORDS)}
    rows = []
    for kind, made in runs.items():
        for part in made.providers:
            rows.append(
                (kind, part.name, f"{part.asked:,}", f"{part.requests:,}", str(part.refused), _minutes(part.least_s))
            )
        rows.append(
            (kind, f"**all, of which {made.busiest.name} is the busiest: {made.ratio:.3f} ×**", "", "", "",
             f"**{_minutes(made.took_s)}** (one after the other ≥ {made.in_turn:.2f} ×)")
        )  # fmt: skip
    met = all(made.ratio <= 1.05 for made in runs.values())
    return Section(
        title="Makespan at the vendors' limits",
        workload=(
            f"{RECORDS:,} people, one field, five providers at their documented limits, {LATENCY_S} s an answer, jobs of "
            f"{JOB_S:.0f} s, on virtual time; the sandbox's vendors count for themselves. The bound is the busiest provider's: "
            "its requests at the rate that it allows."
        ),
        header=("", "provider", "questions", "requests", "refused as too fast", "minutes, at least"),
        rows=rows,
        verdict=f"Target ≤ 1.05 × the bound of the busiest provider: {'met' if met else 'NOT met'}.",
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"
