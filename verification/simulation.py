"""Seeded histories of one sync on virtual time: the process dies at any statement or request, answers are lost, the
destination is away, the source changes and changes back in between; then one run that ends must heal everything.

The oracle is a dictionary of what the model says. A seed repeats its history exactly: `python -m verification.simulation
SEED` tells it step by step.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count
from typing import Any

import duckdb

from benchmarks.report import Section
from revetl.errors import Ambiguous, Unavailable
from revetl.model import Change, Guardrails, Scalar
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.sql import ident
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.sync_bench import Bench
from tests.support.virtual_time import run_virtual
from tests.support.warehouses import SCHEMA

RUNS = int(os.environ.get("REVETL_SIMULATED_RUNS", "100000"))
FIRST = int(os.environ.get("REVETL_FIRST_SEED", "0"))
STEPS_OF_A_RUN = 105  # a crash is drawn from this many: a run of this size takes about ninety
HISTORIES_OF_A_DATABASE = 200
_HISTORIES = count()
KEYS = tuple("1234")
State = dict[str, tuple[str, str | None, str | None]]


@dataclass
class Tally:
    """What many histories came to; tallies add up."""

    runs: int = 0
    histories: int = 0
    crashes: int = 0
    faults: int = 0
    lost: int = 0
    stale: int = 0
    doubled: int = 0
    unsettled: int = 0
    crash_points: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name in ("runs", "histories", "crashes", "faults", "lost", "stale", "doubled", "unsettled"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.crash_points.update(other.crash_points)
        self.failures = (self.failures + other.failures)[:20]  # the first ones are enough to go by


class History:
    """One seed."""

    def __init__(self, seed: int, *, tell: bool = False) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.tally = Tally(histories=1)
        self.tell = tell
        self.bench = Bench(emptied())
        self.idempotent = self.rng.random() < 0.5
        self.mirror = self.rng.random() < 0.5
        self.ever: set[str] = set()
        destination = self.bench.destination
        destination.idempotent_creates = self.idempotent
        destination.batch_rows = self.rng.choice((1, 2, 3))
        destination.concurrency = self.rng.choice((1, 2, 3))
        destination.latency_s = self.rng.choice((0.0, 0.2, 7.0))
        self.bench.spec = replace(
            self.bench.spec,
            guardrails=Guardrails(min_rows=0),
            mode="mirror" if self.mirror else "upsert",
            on_leave="archive" if self.mirror else "ignore",
        )

    def play(self) -> Tally:
        try:
            states = [self.state() for _ in range(2)]
            for _ in range(self.rng.randint(1, 3)):
                # Changed, and often changed back: the same state may come again around a crash.
                state = self.rng.choice(states) if self.rng.random() < 0.6 else self.state()
                self.run(state, broken=True)
            last = self.rng.choice(states)
            # An outage ends a run without a crash; the scheduler's next one goes on.
            for _ in range(3):
                if self.run(last, broken=False) == "done":
                    break
            self.judge(last)
        except Exception as e:  # noqa: BLE001 - a history that fails is a finding, and the next is played
            self.tally.failures.append(f"seed {self.seed}: {type(e).__name__}: {e}")
        return self.tally

    def state(self) -> State:
        rng = self.rng
        return {
            key: (rng.choice("ab"), rng.choice((None, "X", "Y")), rng.choice((None, "Z")))
            for key in KEYS
            if rng.random() < 0.7
        }

    def run(self, state: State, *, broken: bool) -> str:
        self.ever |= state.keys()
        self.bench.source([(key, f"{key}{letter}@x.io", name, city) for key, (letter, name, city) in state.items()])
        crash_at = self.rng.randint(1, STEPS_OF_A_RUN) if broken and self.rng.random() < 0.85 else None
        fuse = Fuse(crash_at)
        fault = _Fault(self.rng, fuse, share=0.15 if broken else 0.0)
        destination = self.bench.destination
        destination.before_write, destination.after_write = fault.before, fault.after
        inner = self.bench.warehouse
        self.bench.warehouse = CrashingWarehouse(inner, fuse)
        self.tally.runs += 1
        ended = "crashed"
        try:
            # Ten minutes: longer than a dead holder's lease.
            ended = run_virtual(self.bench.start(intent_rows=self.rng.choice((None, 1, 2)), wait_s=600.0)).status
        except Crash:
            self.tally.crashes += 1
            self.tally.crash_points[fuse.at or 0] += 1
        finally:
            self.bench.warehouse = inner
            self.tally.faults += fault.count
        if self.tell:
            print(f"  {ended} (crash at {crash_at}, {fuse.step} steps, {fault.count} faults): {state}")
        return ended

    def judge(self, state: State) -> None:
        """One look at the destination: nothing lost, nothing stale, nothing twice."""
        stands: dict[str, list[dict[str, Any]]] = {}
        for record in self.bench.destination.records.values():
            stands.setdefault(str(record["email"])[0], []).append({k: v for k, v in record.items() if v is not None})
        held = {str(k) for (k,) in self.bench.rows("SELECT key FROM revetl.rejected__fake__contacts")}
        problems = []
        for key, (letter, name, city) in state.items():
            wanted = {"email": f"{key}{letter}@x.io", "firstname": name, "city": city}
            found = stands.get(key, [])
            if not found:
                kind = "unsettled" if key in held else "lost"
            elif len(found) > 1:
                kind = "doubled"
            elif found[0] != {k: v for k, v in wanted.items() if v is not None}:
                kind = "unsettled" if key in held else "stale"
            else:
                continue
            setattr(self.tally, kind, getattr(self.tally, kind) + 1)
            problems.append(f"{key} is {kind}: {found}")
        for key in stands.keys() - (state.keys() if self.mirror else self.ever):
            self.tally.stale += 1
            problems.append(f"{key} should be gone: {stands[key]}")
        running = self.bench.rows("SELECT count(*) FROM revetl.runs WHERE status = 'running'")[0][0]
        if running:
            problems.append(f"{running!s} run(s) are still said to be running")
        if problems:
            self.tally.failures.append(f"seed {self.seed}: {'; '.join(problems)}")


class _Reciting(DuckDBWarehouse):
    """Parses a statement once: a few hundred of them are all that these histories say, a million times."""

    def __init__(self) -> None:
        super().__init__(":memory:", threads=1)
        self._parsed: dict[str, Any] = {}

    def _run(self, sql: str, params: Sequence[Scalar] = ()) -> Any:
        if sql not in self._parsed:
            try:
                self._parsed[sql] = self._db.extract_statements(sql)[0]
            except duckdb.Error:
                return super()._run(sql, params)  # which says what is wrong with it
        return super()._run(self._parsed[sql], params)


@lru_cache(maxsize=1)
def _database(_number: int) -> DuckDBWarehouse:
    warehouse = _Reciting()
    # Planning a statement over four rows costs more than its execution; a plan that is not improved says the same.
    warehouse.execute("PRAGMA disable_optimizer")
    return warehouse


def emptied() -> DuckDBWarehouse:
    """An empty warehouse. Many histories share a database, as opening one takes as long as a run does; not all of
    them, as a schema that is dropped leaves something in memory."""
    warehouse = _database(next(_HISTORIES) // HISTORIES_OF_A_DATABASE)
    for schema in (warehouse.state_schema, SCHEMA):
        warehouse.execute(f"DROP SCHEMA IF EXISTS {ident(schema)} CASCADE")
    warehouse.execute(f"CREATE SCHEMA {ident(SCHEMA)}")
    warehouse.execute(f"USE {ident(SCHEMA)}")
    return warehouse


@dataclass
class _Fault:
    """What a network does to a write: refused before it was applied, lost before, lost after."""

    rng: random.Random
    fuse: Fuse
    share: float
    count: int = 0

    def before(self, _: Sequence[Change]) -> None:
        self.fuse.tick()
        if self.rng.random() < self.share:
            self.count += 1
            raise Unavailable("away") if self.rng.random() < 0.5 else Ambiguous("lost before it was applied")

    def after(self, _: Sequence[Change]) -> None:
        self.fuse.tick()
        if self.rng.random() < self.share:
            self.count += 1
            raise Ambiguous("lost after it was applied")


def play(seeds: range) -> Tally:
    total = Tally()
    for seed in seeds:
        total.add(History(seed).play())
    return total


def pieces(runs: int, size: int = 50) -> Iterator[range]:
    """Seeds enough for that many runs: a history has at least two."""
    for start in range(FIRST, FIRST + runs // 2 + 1, size):
        yield range(start, start + size)


def simulate(runs: int, workers: int = 2) -> Tally:
    """At least `runs` runs of the sync, on all cores."""
    total = Tally()
    with ProcessPoolExecutor(workers) as pool:
        waiting = pieces(runs)
        # A few pieces ahead and no more: the pool is left as soon as there are runs enough.
        ahead = [pool.submit(play, piece) for _, piece in zip(range(2 * workers), waiting, strict=False)]
        while ahead and total.runs < runs:
            total.add(ahead.pop(0).result())
            if sys.stderr.isatty():
                print(f"\r{total.runs:,} of {runs:,} runs, {len(total.failures)} findings", end="", file=sys.stderr)
            if (piece := next(waiting, None)) is not None:
                ahead.append(pool.submit(play, piece))
        for future in ahead:
            future.cancel()
    return total


def measure() -> Section:
    total = simulate(RUNS)
    clean = not (total.lost or total.stale or total.doubled or total.failures)
    rows: list[tuple[str, ...]] = [
        ("runs of the sync, in histories of two to six", f"{total.runs:,} in {total.histories:,}"),
        ("… that died, at how many different steps", f"{total.crashes:,} at {len(total.crash_points)}"),
        ("writes refused, or their answers lost", f"{total.faults:,}"),
        ("records lost / stale / doubled at the end", f"{total.lost} / {total.stale} / {total.doubled}"),
        ("records that wait for a person, and say so", f"{total.unsettled:,}"),
    ]
    return Section(
        title="Simulation",
        workload=(
            f"Seeded histories on virtual time, from seed {FIRST} on: a model of up to four records, upsert or mirror, against a destination "
            "whose creates are idempotent or not. The process dies at a random statement or request; between two runs "
            "the source changes, and often changes back. After one run that ends, the destination is compared with a "
            "dictionary of what the model says."
        ),
        header=("", "figure"),
        rows=rows,
        verdict="Target 0 lost, 0 stale, 0 doubled: "
        + ("met." if clean else "NOT met. " + "; ".join(total.failures[:5])),
    )


if __name__ == "__main__":
    story = History(int(sys.argv[1]), tell=True)
    outcome = story.play()
    print(f"idempotent={story.idempotent} mirror={story.mirror}", outcome)
