"""What an estimate says beside what the run then costs and finds, on the sandbox's correlated population.

Worlds differ by what their vendors know and by the order in which they are asked. In each, people come in batches: the
first fills the ledger, each later one is estimated from it and then run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import Section
from revetl.clock import LoopClock
from revetl.enrich.engine import run_waterfall
from revetl.enrich.estimate import estimate
from revetl.enrich.spec import WaterfallSpec
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.server import SandboxSettings
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.virtual_time import run_virtual
from verification import vendors
from verification.makespan import truth
from verification.vendors import SPECS

WORLDS = int(os.environ.get("REVETL_CALIBRATION_WORLDS", "5"))
BATCHES = 4
PEOPLE = 200
VERIFIER = "zerobounce.validate"
ORDERS = (
    ("people_data_labs.person", "hunter.email_finder", "prospeo.person"),
    ("leadmagic.email_finder", "apollo.person"),
    ("prospeo.person", "people_data_labs.person", "leadmagic.email_finder", "hunter.email_finder"),
    ("hunter.email_finder", "apollo.person", "people_data_labs.person"),
    ("apollo.person", "leadmagic.email_finder", "prospeo.person"),
)


@dataclass(frozen=True)
class Guess:
    """One figure with its interval of 95 % and what came."""

    what: str
    low: float
    expected: float
    high: float
    came: float

    @property
    def inside(self) -> bool:
        return self.low <= self.came <= self.high


@dataclass
class Tally:
    runs: int = 0
    guesses: list[Guess] = field(default_factory=list)
    over_greatest: int = 0
    over_p95: int = 0

    def of(self, what: str) -> list[Guess]:
        return [guess for guess in self.guesses if guess.what == what]


def waterfall(order: Sequence[str]) -> WaterfallSpec:
    stages = [{"provider": name, "verify": {"email": VERIFIER}} for name in order]
    titles = any("job_title" in SPECS[name].fields for name in order)
    return WaterfallSpec.model_validate(
        {
            "name": "contacts",
            "entity": "golden_contacts",
            "inputs": {name: name for name in vendors.INPUTS},
            "fields": {"email": {"accept": {"verified": True}}, **({"job_title": {}} if titles else {})},
            "stages": stages,
        }
    )


def play(worlds: int, batches: int = BATCHES, people: int = PEOPLE) -> Tally:
    tally = Tally()
    with truth(people * (batches + 1)) as folder:
        for world in range(worlds):
            run_virtual(_world(tally, folder, world, batches, people))
    return tally


async def _world(tally: Tally, folder: Path, seed: int, batches: int, people: int) -> None:
    spec = waterfall(ORDERS[seed % len(ORDERS)])
    specs = vendors.hurried(spec.provider_names, batch=100)
    clock = LoopClock()
    warehouse = DuckDBWarehouse(":memory:", threads=1)
    settings = SandboxSettings(truth=folder, seed=seed, provider_limits=False)
    async with sandbox_in_process(settings, clock, 0.1) as (transport, _):
        for batch in range(batches + 1):
            vendors.load_people(warehouse, range(batch * people, (batch + 1) * people))
            said = estimate(warehouse, spec, specs, vendors.PEOPLE, clock=clock)
            asked = vendors.connected(specs, "https://sandbox.example", clock, transport)
            report = await run_waterfall(warehouse, spec, asked, vendors.PEOPLE, run_id=f"b{batch}", clock=clock)
            if not batch:
                continue
            tally.runs += 1
            usd = report.spent_usd
            tally.guesses.append(
                Guess("cost", float(said.low_usd), float(said.expected_usd), float(said.high_usd), float(usd))
            )
            for name, found in said.coverage.items():
                came = report.fields[name].filled_after
                tally.guesses.append(Guess(name, found.low, found.expected, found.high, came))
            tally.over_p95 += usd > said.p95_usd
            tally.over_greatest += usd > said.greatest_usd
            await clock.sleep(86_400)
    warehouse.close()


def measure() -> Section:
    tally = play(WORLDS)
    rows = []
    for what, title in (("cost", "cost"), ("email", "people with an email"), ("job_title", "people with a job title")):
        guesses = tally.of(what)
        inside = sum(guess.inside for guess in guesses)
        off = sum(abs(g.came / g.expected - 1) for g in guesses) / len(guesses)
        wide = sum((g.high - g.low) / g.expected for g in guesses) / len(guesses)
        rows.append((title, f"{inside} of {len(guesses)}", f"{off:.1%}", f"{wide:.1%}"))
    share = sum(guess.inside for guess in tally.guesses) / len(tally.guesses)
    return Section(
        title="Estimates",
        workload=(
            f"{tally.runs} runs in {WORLDS} worlds, each over {PEOPLE} new people, estimated from the ledger of the batches "
            "before them; 2 to 4 providers with a verifier, on the sandbox's correlated vendors. Was the figure inside "
            "the estimate's interval of 95 %?"
        ),
        header=("", "inside", "mean error of the expected figure", "mean width of the interval"),
        rows=[
            *rows,
            ("runs above the 95 % cost (1 in 20 may be) / above the greatest", f"{tally.over_p95} / {tally.over_greatest}", "", ""),
        ],
        verdict=f"{share:.0%} of all figures are inside. Target 95 % inside the 95 % interval: "
        + ("met." if share >= 0.95 and not tally.over_greatest else "NOT met."),
    )  # fmt: skip
