"""Real SIGKILL at every step of a waterfall's run: a real database file, the shipped providers (one by one, in batches, as
jobs, a verifier), and the sandbox's vendors, which bill, over HTTP.

Each round starts from an empty ledger and new books. A process runs the waterfall until it kills itself at one step (a
statement, either end of a commit, either side of a request); in two of three rounds the next ones are killed as well,
while they recover. A last one runs to its end, hours later. Then the vendors' invoice is compared with the ledger.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from benchmarks.report import Section
from revetl.context import RunContext
from revetl.enrich.execution.engine import run_waterfall
from revetl.enrich.waterfall import WaterfallSpec
from revetl.http import default_transport
from revetl.sandbox.process import SandboxProcess
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.crashing import CrashingWarehouse
from tests.support.sandbox_world import write_truth
from verification import vendors
from verification.kills import DeadlyFuse, DeadlyTransport, in_process
from verification.vendors import Bills, total

KILLS = int(os.environ.get("REVETL_ENRICH_KILLS", "400"))
PEOPLE = 10
LEAP = 127  # steps from one round's to the next one's, so that few rounds are spread over the whole run
VERIFIER = "zerobounce.validate"
# A batch and a job that are never free again, one by one and a job that are.
STAGES = ("people_data_labs.person_bulk", "hunter.email_finder", "fullenrich.email", "dropcontact.contact")
SPECS = vendors.hurried((*STAGES, VERIFIER), batch=3)
FREE_AGAIN = {spec.vendor for spec in SPECS.values() if spec.free_repeat_days}
ZERO = Decimal(0)


def waterfall(per_day_usd: Decimal) -> WaterfallSpec:
    return WaterfallSpec.model_validate(
        {
            "name": "contacts",
            "entity": "golden_contacts",
            "inputs": {name: name for name in vendors.INPUTS},
            "fields": {"email": {"accept": {"verified": True}}, "job_title": {}},
            "stages": [
                {"provider": STAGES[0], "verify": {"email": VERIFIER}},
                {"provider": STAGES[1], "fills": ["email"], "verify": {"email": VERIFIER}},
                {"provider": STAGES[2], "fills": ["email"]},
                {"provider": STAGES[3]},
            ],
            "budget": {"per_day_usd": str(per_day_usd)},
        }
    )


@dataclass
class Life:
    """What one process did before it ended by itself."""

    steps: int
    asked: int
    in_doubt_usd: Decimal


def run_once(
    database: Path, url: str, people: int, limit: Decimal, run_id: str, hour: float, kill_at: int | None
) -> Life:
    """One process's life: it finds the ledger that the last one left."""
    warehouse = DuckDBWarehouse(database, threads=1)
    vendors.load_people(warehouse, range(people))
    fuse = DeadlyFuse(kill_at)
    clock = vendors.at(hour)
    crashing = CrashingWarehouse(warehouse, fuse)
    providers = vendors.connected(SPECS, url, clock, DeadlyTransport(default_transport(url), fuse))
    report = asyncio.run(
        run_waterfall(
            RunContext(warehouse=crashing, clock=clock, run_id=run_id, command="enrich", target="dev"),
            waterfall(limit),
            providers,
            vendors.PEOPLE,
        )
    )
    warehouse.close()
    return Life(fuse.step, report.asked, report.in_doubt_usd)


@dataclass
class Ledger:
    """What revetl knows, by (vendor, record or address): what was charged, what is in doubt and held; how many answers
    have no value, and how many calls in doubt have the name of a job that could be fetched."""

    charged: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    in_doubt: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    doubts: Counter[str] = field(default_factory=Counter)
    valueless: int = 0
    unfetched: int = 0
    counted_usd: Decimal = ZERO  # what the budgets take as spent


def ledger(database: Path) -> Ledger:
    """Of each call the outcome that holds: in doubt only where no other one came."""
    warehouse = DuckDBWarehouse(database, threads=1)
    calls = warehouse.rows(
        "SELECT call_id, any_value(provider), any_value(json_extract_string(keys, '$[0]')),"
        " arg_max(status, CASE status WHEN 'intent' THEN 0 WHEN 'in_doubt' THEN 1 ELSE 2 END) AS ended,"
        " coalesce(max(charged_usd), 0), max(expected_usd), max(request_id) FROM revetl.enrichment_calls GROUP BY call_id"
    )
    valued = {str(row[0]) for row in warehouse.rows("SELECT DISTINCT call_id FROM revetl.enrichment_values")}
    addresses = {
        str(call): str(value)
        for call, value in warehouse.rows(
            "SELECT call_id, value FROM revetl.enrichment_values WHERE entity = 'verification'"
        )
    }
    found = Ledger()
    for call, provider, key, status, charged, expected, job in calls:
        vendor = str(provider).partition(".")[0]
        # The question of a lost verification is known by its hash only.
        about = addresses.get(str(call), "?") if provider == VERIFIER else str(key)
        if status in ("in_doubt", "intent"):
            place = found.in_doubt
            usd = Decimal(str(expected))
            found.doubts[vendor] += 1
            found.unfetched += job is not None
        else:
            place = found.charged
            usd = Decimal(str(charged))
            found.valueless += usd > 0 and str(call) not in valued
        place[vendor, about] = place.get((vendor, about), ZERO) + usd
    spent = warehouse.rows("SELECT coalesce(sum(committed_usd + held_usd), 0) FROM revetl.enrichment_spend")
    found.counted_usd = Decimal(str(spent[0][0]))
    warehouse.close()
    return found


def unanswered(database: Path) -> Counter[str]:
    """By provider: lookups without an outcome that no job's name leads to, which is what a kill has left in doubt."""
    warehouse = DuckDBWarehouse(database, threads=1)
    found = Counter(
        warehouse.counts(
            "SELECT provider, count(*) FROM (SELECT provider FROM revetl.enrichment_calls GROUP BY call_id, provider"
            " HAVING bool_and(status = 'intent') AND max(request_id) IS NULL) AS left_ GROUP BY provider"
        )
        if "enrichment_calls" in warehouse.tables("revetl")
        else {}
    )
    warehouse.close()
    return found


@dataclass
class Tally:
    kills: int = 0
    rounds: int = 0
    steps: int = 0
    paid: int = 0
    doubled_free: int = 0
    doubled: int = 0
    over: int = 0
    lost: int = 0
    unlike: int = 0
    unseen: int = 0
    asked_later: int = 0
    doubts: Counter[str] = field(default_factory=Counter)
    most_doubts: int = 0
    left: Counter[str] = field(default_factory=Counter)  # the most that one kill left in doubt, by provider
    first_failure: str = ""


@dataclass(frozen=True)
class Place:
    """Where the rounds are run. `whole`: a limit that nothing comes near."""

    folder: Path
    url: str
    people: int
    whole: Decimal = Decimal(1000)

    def run(self, name: str, limit: Decimal, run_id: str, hour: float, kill_at: int | None = None) -> Life | None:
        """None where it was killed."""
        life: Life | None = in_process(
            run_once, self.folder / name, self.url, self.people, limit, run_id, hour, kill_at
        )
        return life


def kill(kills: int, people: int = PEOPLE) -> Tally:
    tally = Tally()
    rng = random.Random(2026)
    with tempfile.TemporaryDirectory() as folder:
        truth = write_truth(Path(folder) / "truth", people)
        options = ("--no-limits", "--job-seconds", str(vendors.JOB_S))
        with SandboxProcess(truth, options=options) as sandbox:
            place = Place(Path(folder), sandbox.base_url, people)
            alone = place.run("whole", place.whole, "r0", 1.0)
            tally.steps = alone.steps if alone is not None else 0
            price = total(vendors.invoice(sandbox.base_url))
            while tally.kills < kills:
                limit = place.whole if tally.rounds % 2 else round(price * Decimal(rng.uniform(0.2, 1.0)), 2)
                _round(tally, place, limit, rng)
    return tally


def _round(tally: Tally, place: Place, limit: Decimal, rng: random.Random) -> None:
    name = f"round{tally.rounds}"
    deaths = [1 + tally.rounds * LEAP % tally.steps]
    deaths += [1 + rng.randrange(tally.steps // 2) for _ in range(tally.rounds % 3)]
    tally.rounds += 1
    vendors.forget(place.url)
    over = False
    for hour, step in enumerate(deaths, 1):
        killed = place.run(name, limit, f"r{hour}", hour, step) is None
        tally.kills += killed
        if killed:
            tally.left |= in_process(unanswered, place.folder / name)
        over = over or total(vendors.invoice(place.url)) > limit
    time.sleep(2 * vendors.JOB_S)  # what runs at one time is free nowhere: the vendors' jobs are over
    place.run(name, limit, "healing", 5.0)
    bills, known = vendors.invoice(place.url), in_process(ledger, place.folder / name)
    over = over or total(bills) > limit or known.counted_usd > limit
    later = place.run(name, limit, "later", 6.0) if tally.rounds % 4 == 1 else None
    _judge(tally, bills, known, over, later.asked if later is not None else 0)
    (place.folder / name).unlink()
    if sys.stderr.isatty():
        print(f"\r{tally.kills} kills", end="", file=sys.stderr)


def _judge(tally: Tally, bills: Bills, known: Ledger, over: bool, asked_later: int) -> None:
    before = (tally.doubled, tally.over, tally.lost, tally.unlike, tally.unseen, tally.asked_later)
    unknown = _spread(known, bills)
    for place, lines in bills.items():
        tally.paid += len(lines)
        tally.doubled += len(lines) - 1
        tally.doubled_free += len(lines) - 1 if place[0] in FREE_AGAIN else 0
        held = known.in_doubt.get(place, ZERO) + unknown.get(place, ZERO)
        tally.lost += place not in known.charged and not held
        tally.unlike += not held and known.charged.get(place, ZERO) != sum(lines)
    tally.lost += known.valueless + known.unfetched
    tally.unlike += sum(usd > 0 and place not in bills for place, usd in known.charged.items())
    tally.unseen += known.counted_usd < total(bills)
    tally.over += over
    tally.asked_later += asked_later
    tally.doubts += known.doubts
    tally.most_doubts = max(tally.most_doubts, known.doubts.total())
    after = (tally.doubled, tally.over, tally.lost, tally.unlike, tally.unseen, tally.asked_later)
    if after != before and not tally.first_failure:
        tally.first_failure = f"round {tally.rounds}: from {before} to {after}"


def _spread(known: Ledger, bills: Bills) -> dict[tuple[str, str], Decimal]:
    """What is in doubt without an address, one for each address that only the invoice names."""
    vendor = VERIFIER.partition(".")[0]
    left = known.in_doubt.get((vendor, "?"), ZERO)
    found: dict[tuple[str, str], Decimal] = {}
    for place, lines in bills.items():
        if place[0] == vendor and place not in known.charged and left >= sum(lines):
            found[place] = sum(lines, ZERO)
            left -= found[place]
    return found


def in_doubt_at_most(provider: str) -> int:
    """Lookups: twice as many requests as may be in flight, of as many lookups as one takes."""
    spec = SPECS[provider]
    return 2 * spec.at_once * (1 if spec.batch is None else spec.batch.size)


def measure() -> Section:
    tally = kill(KILLS)
    left = ", ".join(f"{name} {n} of {in_doubt_at_most(name)}" for name, n in sorted(tally.left.items())) or "none"
    too_many = any(n > in_doubt_at_most(name) for name, n in tally.left.items())
    failed = too_many or tally.doubled or tally.over or tally.lost or tally.unlike or tally.unseen or tally.asked_later
    doubts = ", ".join(f"{vendor} {n}" for vendor, n in sorted(tally.doubts.items())) or "none"
    return Section(
        title="SIGKILL while a waterfall spends",
        workload=(
            f"{PEOPLE} people through People Data Labs (batches), Hunter (one by one), FullEnrich and Dropcontact (jobs) with "
            "ZeroBounce as the verifier: the shipped specs, a DuckDB file, the sandbox's vendors over HTTP, which bill. "
            "The process kills itself with SIGKILL at one step after another: every statement, both ends of every "
            "commit, both sides of every request. In two of three rounds the next runs are killed as well, while they "
            "recover; in every other round the day's budget is a part of what the whole run costs. The run that ends "
            "comes hours later, and the vendors' invoice is then compared with the ledger."
        ),
        header=("", "figure"),
        rows=[
            ("kills (in rounds), over steps of a run", f"{tally.kills} ({tally.rounds}) over {tally.steps}"),
            ("lines on the invoices", str(tally.paid)),
            ("charged twice: in a free window / anywhere", f"{tally.doubled_free} / {tally.doubled}"),
            ("rounds with more than the budget on the invoice, or counted by us", str(tally.over)),
            (
                "answers paid for and lost (no value and not shown in doubt, or a job that could be fetched)",
                str(tally.lost),
            ),
            ("settled questions of which ledger and invoice differ", str(tally.unlike)),
            ("rounds in which the budgets count less than the invoice", str(tally.unseen)),
            ("questions that one more run asks (in every fourth round)", str(tally.asked_later)),
            ("the most lookups that one kill left in doubt, of twice what may be in flight", left),
            ("calls that stay in doubt, shown and held: all rounds / most in one", f"{doubts} / {tally.most_doubts}"),
        ],
        verdict="Target 0 charged twice, 0 over the budget, 0 paid for and lost, no kill that leaves more in doubt than "
        "twice the provider's concurrency: " + (f"NOT met. {tally.first_failure}" if failed else "met."),
    )
