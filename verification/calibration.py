"""What an estimate says beside what the run then costs and finds, on the sandbox's correlated population.

Worlds differ by what their vendors know and by the order in which they are asked. In each, people join in batches: each
is estimated from the ledger of those before it and then run. The first batch, of which nothing is known, is told apart.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path

from benchmarks.report import Section
from revetl.clock import LoopClock
from revetl.context import RunContext
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.forecasting.estimate import estimate
from revetl.enrich.waterfall import WaterfallSpec
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.virtual_time import run_virtual
from verification import vendors
from verification.makespan import truth
from verification.vendors import SPECS

WORLDS = int(os.environ.get("REVETL_CALIBRATION_WORLDS", "15"))
FIRST_SEED = int(os.environ.get("REVETL_FIRST_SEED", "0"))
PROCESSES = int(os.environ.get("REVETL_CALIBRATION_PROCESSES", str(os.cpu_count() or 1)))
# What is foreseen does not depend on it; each admission is a transaction, so many at once are soon done.
AT_ONCE = 50
BATCHES = (40, 100, 200, 200, 200)
VERIFIER = "zerobounce.validate"
ORDERS = (
    ("people_data_labs.person", "hunter.email_finder", "prospeo.person"),
    ("leadmagic.email_finder", "apollo.person"),
    ("prospeo.person", "people_data_labs.person", "leadmagic.email_finder", "hunter.email_finder"),
    ("hunter.email_finder", "apollo.person", "people_data_labs.person"),
    ("apollo.person", "leadmagic.email_finder", "prospeo.person"),
)
_INSIDE = 0.95


@dataclass(frozen=True)
class Guess:
    """One figure with its interval of 95 % and what came; `first`: there was no history to go by."""

    what: str
    low: float
    expected: float
    high: float
    came: float
    first: bool = False

    @property
    def inside(self) -> bool:
        return self.low <= self.came <= self.high

    @property
    def score(self) -> float:
        """The interval score (Gneiting and Raftery 2007, eq. 43), as a share of what came: its width, and 2 / 0.05
        times how far outside it what came was. Only who says what he believes can expect the lowest."""
        outside = max(0.0, self.low - self.came, self.came - self.high)
        return (self.high - self.low + 2 / (1 - _INSIDE) * outside) / self.came


@dataclass
class Tally:
    runs: int = 0
    guesses: list[Guess] = field(default_factory=list)
    over_greatest: int = 0
    over_p95: int = 0

    def of(self, what: str, *, first: bool = False) -> list[Guess]:
        return [guess for guess in self.guesses if guess.what == what and guess.first == first]


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


def play(worlds: int, batches: Sequence[int] = BATCHES) -> Tally:
    """Each world in a process of its own, since nothing is shared between two. A single one is played here."""
    together = Tally()
    seeds = range(FIRST_SEED, FIRST_SEED + worlds)
    with truth(sum(batches)) as folder, ExitStack() as stack:
        each = map if worlds == 1 else stack.enter_context(ProcessPoolExecutor(PROCESSES)).map
        for tally in each(partial(play_world, folder, batches), seeds):
            together.runs += tally.runs
            together.guesses += tally.guesses
            together.over_greatest += tally.over_greatest
            together.over_p95 += tally.over_p95
    return together


def play_world(folder: Path, batches: Sequence[int], seed: int) -> Tally:
    tally = Tally()
    run_virtual(_world(tally, folder, seed, batches))
    return tally


async def _world(tally: Tally, folder: Path, seed: int, batches: Sequence[int]) -> None:
    spec = waterfall(ORDERS[seed % len(ORDERS)])
    specs = vendors.hurried(spec.provider_names, batch=100, at_once=AT_ONCE)
    clock = LoopClock()
    warehouse = DuckDBWarehouse(":memory:", threads=1)
    settings = SandboxSettings(truth=folder, seed=seed, limited=False)
    async with sandbox_in_process(settings, clock, 0.1) as (transport, _):
        for batch, people in enumerate(accumulate(batches)):
            vendors.load_people(warehouse, range(people))
            ctx = RunContext(warehouse=warehouse, clock=clock, run_id=f"b{batch}", command="enrich", target="dev")
            said = estimate(ctx, spec, specs, vendors.PEOPLE)
            asked = vendors.connected(specs, "https://sandbox.example", clock, transport)
            report = await run_waterfall(
                ctx,
                spec,
                asked,
                vendors.PEOPLE,
            )
            usd, first = report.spent_usd, not batch
            low, expected, high = float(said.low_usd), float(said.expected_usd), float(said.high_usd)
            tally.guesses.append(Guess("cost", low, expected, high, float(usd), first))
            for name, found in said.coverage.items():
                # What was there before is no part of the forecast.
                low, expected, high = (n - found.before for n in (found.low, found.expected, found.high))
                came = report.fields[name].filled_after - found.before
                tally.guesses.append(Guess(name, low, expected, high, came, first))
            tally.over_greatest += usd > said.greatest_usd
            if batch:
                tally.runs += 1
                tally.over_p95 += usd > said.p95_usd
            await clock.sleep(86_400)
    warehouse.close()


def measure() -> Section:
    tally = play(WORLDS)
    rows = []
    for first, when in ((False, ""), (True, ", first run")):
        for what, title in (("cost", "cost"), ("email", "new emails"), ("job_title", "new job titles")):
            guesses = tally.of(what, first=first)
            inside = sum(guess.inside for guess in guesses)
            off, wide, score = (_mean(guesses, of) for of in (_off, _width, lambda g: g.score))
            rows.append((title + when, f"{inside} of {len(guesses)}", f"{off:.1%}", f"{wide:.1%}", f"{score:.1%}"))
    known = [guess for guess in tally.guesses if not guess.first]
    share = sum(guess.inside for guess in known) / len(known)
    # Of figures that are each inside with a chance of 95 %, the share that is differs by so much from sample to sample.
    by_chance = 2 * math.sqrt(_INSIDE * (1 - _INSIDE) / len(known))
    met = share >= _INSIDE - by_chance and not tally.over_greatest
    sizes = ", ".join(str(n) for n in BATCHES)
    return Section(
        title="Estimates",
        workload=(
            f"{tally.runs} runs in {WORLDS} worlds from the seed {FIRST_SEED} on: people join in batches of {sizes}, each estimated from the ledger of "
            "those before it; 2 to 4 providers with a verifier, on the sandbox's correlated vendors. Was the figure "
            "inside the estimate's interval of 95 %? The score adds to an interval's width 40 times what came outside "
            "of it; lower is better. In first runs nothing but declared rates and guesses is known."
        ),
        header=("", "inside", "mean error of the expected figure", "mean width of the interval", "interval score"),
        rows=[
            *rows,
            ("runs above the 95 % cost (1 in 20 may be) / above the greatest",
             f"{tally.over_p95} / {tally.over_greatest}", "", "", ""),
        ],
        verdict=f"{share:.1%} of all {len(known)} figures after the first run are inside; ± {by_chance:.1%} is chance. "
        f"Target 95 % inside the 95 % interval: {'met' if met else 'NOT met'}.",
    )  # fmt: skip


def _mean(guesses: Sequence[Guess], of: Callable[[Guess], float]) -> float:
    return sum(of(guess) for guess in guesses) / len(guesses)


def _off(guess: Guess) -> float:
    return abs(guess.expected / guess.came - 1)


def _width(guess: Guess) -> float:
    return (guess.high - guess.low) / guess.came
