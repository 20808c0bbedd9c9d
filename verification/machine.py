"""A state machine over tiny domains: rows come, change, leave and go back to what they were; runs end, die, and are sent
away by a quota; people edit the destination, archive records and make them again, and take an option away; drift is reported, accepted and reasserted; runs are rolled back, records
released, everything is sent anew. After every step what stands at the destination must be what the oracle says.

A seed repeats its history exactly: `python -m verification.machine SEED` tells it step by step.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

from benchmarks.report import Section
from revetl.clock import LoopClock
from revetl.context import RunContext
from revetl.errors import Throttled, Unavailable
from revetl.model import Change, FieldRule, Guardrails
from revetl.state import runs
from revetl.state.runs import new_run_id
from revetl.sync import SyncReport
from revetl.sync.drift.reading import DriftOptions, find_drift
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.release import release
from revetl.sync.retry.queue import ACCEPTED, REFUSED, ROLLED_BACK, QueueFilter
from revetl.sync.rollback.rolling_back import roll_back
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.sync_bench import Bench
from tests.support.virtual_time import run_virtual
from verification.oracle import DOUBT, OUTSIDE, Row, Rules, Sent, World
from verification.simulation import STEPS_OF_A_RUN, emptied

STEPS = int(os.environ.get("REVETL_MACHINE_STEPS", "100000"))
FIRST = int(os.environ.get("REVETL_FIRST_SEED", "0"))
STEPS_OF_A_HISTORY = 40
KEYS = ("1", "2", "3")
FIELDS = ("email", "firstname", "city")
VALUES = ((None, "X", "Y"), (None, "Z", "W"))  # of the fields after the email
POISON = "bad"
OPTION = "W"  # may go missing at the destination
Model = dict[str, Row]
Worlds = dict[str, set[World]]


class Finding(Exception):
    """The destination is not as it must be."""


@dataclass
class Tally:
    steps: Counter[str] = field(default_factory=Counter)
    histories: int = 0
    most_worlds: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.steps.update(other.steps)
        self.histories += other.histories
        self.most_worlds = max(self.most_worlds, other.most_worlds)
        self.failures = (self.failures + other.failures)[:10]


class Machine:
    """One seed. `model` is the source, `worlds` what may be true of each key."""

    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        rng = self.rng
        self.tally = Tally(histories=1)
        self.story: list[str] = []
        self.rules = Rules(rng.random() < 0.5, frozenset({2}) if rng.random() < 0.4 else frozenset(), POISON)
        self.model: Model = {}
        self.earlier: list[Model] = [{}]
        self.worlds: Worlds = {key: {World()} for key in KEYS}
        self.newest: str | None = None  # the run that a rollback undoes
        self.bench = Bench(emptied())
        self.bench.destination.idempotent_creates = rng.random() < 0.5
        self.bench.destination.batch_rows = rng.choice((1, 2, 3))
        self.bench.destination.concurrency = rng.choice((1, 2))
        self.bench.destination.latency_s = rng.choice((0.0, 0.2))
        self.bench.destination.poison = {POISON}
        self.bench.destination.refuses = self.refuses
        self.bench.spec = replace(
            self.bench.spec,
            guardrails=Guardrails(min_rows=0),
            mode="mirror" if self.rules.mirror else "upsert",
            on_leave="archive" if self.rules.mirror else "ignore",
            fields={FIELDS[i]: FieldRule(policy="fill_blank") for i in self.rules.fill_blank},
        )
        self.source()

    def play(self, steps: int) -> Tally:
        weighted: Sequence[tuple[int, Callable[[], None]]] = (
            (10, self.upsert), (3, self.delete), (3, self.revert), (10, self.sync), (6, self.die), (3, self.quota),
            (5, self.edit), (2, self.remove), (3, self.make), (2, self.turn_option), (2, self.report), (2, self.accept), (2, self.reassert),
            (4, self.rollback), (2, self.refresh), (2, self.retry),
        )  # fmt: skip
        weights, all_steps = zip(*weighted, strict=True)
        try:
            for step in self.rng.choices(all_steps, weights, k=steps):
                name = step.__name__
                self.tally.steps[name] += 1
                self.said(name)
                # Every loop begins its time anew, and what is done later must not look earlier.
                self.bench.clock = LoopClock(self.bench.clock.now() + timedelta(hours=1))
                step()
                self.tally.most_worlds = max(self.tally.most_worlds, *map(len, self.worlds.values()))
        except Exception as e:  # noqa: BLE001 - a history that fails is a finding, and the next is played
            said = "\n".join(self.story)
            self.tally.failures.append(f"{said}\nseed {self.seed}: {type(e).__name__}: {e}")
        return self.tally

    def said(self, text: str) -> None:
        self.story.append(text)

    # --- the source

    def upsert(self) -> None:
        key = self.rng.choice(KEYS)
        first, city = (self.rng.choice(values) for values in VALUES)
        if self.rng.random() < 0.08:
            first = POISON
        self.model = self.model | {key: (f"{key}@x.io", first, city)}
        self.source()

    def delete(self) -> None:
        if self.model:
            gone = self.rng.choice(sorted(self.model))
            self.model = {k: v for k, v in self.model.items() if k != gone}
        self.source()

    def revert(self) -> None:
        self.model = self.rng.choice(self.earlier)
        self.source()

    def source(self) -> None:
        self.earlier.append(self.model)
        self.bench.source([(key, *row) for key, row in sorted(self.model.items())])
        self.rules = replace(self.rules, emptied=not self.model)
        self.said(f"  the model: {self.model}")

    # --- people

    def edit(self) -> None:
        """Somebody writes a value, or empties a field."""
        records = self.bench.destination.records
        if not records:
            return
        record = records[self.rng.choice(sorted(records))]
        i = self.rng.randint(1, 2)
        record[FIELDS[i]] = self.rng.choice((*VALUES[i - 1], "theirs"))
        self.people(str(record["email"])[0])

    def remove(self) -> None:
        records = self.bench.destination.records
        if records:
            key = str(records.pop(self.rng.choice(sorted(records)))["email"])[0]
            self.worlds[key] = {w._replace(replaced=False) for w in self.worlds[key]}
            self.people(key)

    def make(self) -> None:
        """Somebody makes a record that we have never heard of, or one again that was archived."""
        free = [key for key, worlds in self.worlds.items() if all(w.there is None for w in worlds)]
        if free:
            key = self.rng.choice(free)
            values = (f"{key}@x.io", *(self.rng.choice(v) for v in VALUES))
            self.bench.destination.records[f"h{len(self.story)}"] = dict(zip(FIELDS, values, strict=True))
            self.worlds[key] = {w._replace(replaced=w.known is not None and w.linked) for w in self.worlds[key]}
            self.people(key)

    def turn_option(self) -> None:
        """Somebody takes an option away, or brings it back."""
        self.rules = replace(self.rules, missing=frozenset() if self.rules.missing else frozenset({OPTION}))
        self.said(f"  {OPTION} is {'missing' if self.rules.missing else 'there'}")

    def refuses(self, change: Change) -> str | None:
        return "INVALID_OPTION" if self.rules.missing & {*change.fields.values()} else None

    def people(self, key: str) -> None:
        stands = self.stands(key)
        self.worlds[key] = {w._replace(there=stands) for w in self.worlds[key]}
        self.said(f"  a person: {key} is {stands}")

    # --- runs

    def sync(self) -> None:
        self.whole(refresh=False)

    def refresh(self) -> None:
        self.whole(refresh=True)

    def whole(self, *, refresh: bool) -> None:
        report = self.run(full_refresh=refresh)
        assert report is not None
        if report.status not in ("done", "partial"):
            raise Finding(f"the run ended {report.status}: {report.error}")
        self.follow(lambda w, row: [self.rules.sync(w, row, refresh=refresh)], exact=True)

    def die(self) -> None:
        refresh = self.rng.random() < 0.15
        fuse = Fuse(self.rng.randint(1, STEPS_OF_A_RUN))
        inner, destination = self.bench.warehouse, self.bench.destination

        def tick(_: Sequence[Change]) -> None:
            fuse.tick()

        destination.before_write = destination.after_write = tick
        self.bench.warehouse = CrashingWarehouse(inner, fuse)
        died = False
        try:
            self.run(full_refresh=refresh, intent_rows=self.rng.choice((None, 1)))
        except Crash:
            died = True
        finally:
            self.bench.warehouse = inner
            destination.before_write = destination.after_write = lambda _: None
        self.said(f"  {f'died at step {fuse.at}' if died else 'came to its end'}{', full refresh' if refresh else ''}")
        if died:
            self.follow(lambda w, row: [(v, None) for v in self.rules.broken(w, row, died=True, refresh=refresh)])
        else:
            self.follow(lambda w, row: [self.rules.sync(w, row, refresh=refresh)], exact=True)

    def quota(self) -> None:
        """The vendor sends us away after some requests."""
        left = self.rng.randint(0, 2)
        kind = self.rng.choice((Throttled, Unavailable))

        def spend(_: Sequence[Change]) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise kind("come back tomorrow")

        self.bench.destination.before_write = spend
        refresh = self.rng.random() < 0.2
        try:
            report = self.run(full_refresh=refresh)
        finally:
            self.bench.destination.before_write = lambda _: None
        assert report is not None
        self.said(f"  {report.status}{', full refresh' if refresh else ''}")
        if report.status == "failed":
            self.follow(lambda w, row: [(v, None) for v in self.rules.broken(w, row, died=False, refresh=refresh)])
        else:
            self.follow(lambda w, row: [self.rules.sync(w, row, refresh=refresh)], exact=True)

    def run(self, **options: Any) -> SyncReport:
        self.newest = new_run_id(self.bench.clock)
        # Ten minutes: longer than a dead holder's lease.
        return run_virtual(self.bench.start(run_id=self.newest, wait_s=600.0, **options))

    # --- drift, rollback, retry

    def report(self) -> None:
        self.drift("report")

    def accept(self) -> None:
        self.drift("accept")

    def reassert(self) -> None:
        self.drift("reassert")

    def drift(self, side: Literal["report", "accept", "reassert"]) -> None:
        asked = DriftOptions(resolution=None if side == "report" else DriftResolution(side, None))
        report = run_virtual(find_drift(self.context("drift"), self.bench.spec, self.bench.destination, asked))
        # One look at all keys: their sum is what can be compared.
        fewest, most = (sum(f(drifts) for drifts in self.drifts()) for f in (min, max))
        self.said(f"  drifted: {report.drifted} {report.fields} {report.records}")
        if not fewest <= report.drifted <= most:
            raise Finding(f"{report.drifted} records are said to have drifted, not {fewest} to {most}")
        self.follow(lambda w, row: [(self.rules.drift(w, row, side)[0], None)], exact=True)

    def drifts(self) -> Iterator[list[bool]]:
        for key, worlds in self.worlds.items():
            yield [self.rules.drift(w, self.model.get(key), "report")[1] for w in worlds]

    def rollback(self) -> None:
        if self.rng.random() < 0.6:
            self.spoil()
        undone = runs.get_run(self.bench.warehouse, self.newest) if self.newest else None
        if undone is None:  # there was none, or it died before it had a row
            return
        if self.rules.missing:
            self.turn_option()  # a rollback that is refused says so, and is not the oracle's business
        ctx = self.context("rollback")
        report = run_virtual(roll_back(ctx, self.bench.spec, self.bench.destination, undone))
        self.newest = ctx.run_id
        self.said(f"  {report.status} {report.counts}")
        if report.status != "done":
            raise Finding(f"the rollback ended {report.status}: {report.error}")
        self.follow(self.rules.rollback, exact=True)

    def spoil(self) -> None:
        """A run that leaves something to undo, and perhaps a person who has mended some of it."""
        first, city = (self.rng.choice(values) for values in VALUES)
        self.model = {key: (row[0], first, city) for key, row in self.model.items()}
        self.source()
        self.rng.choice((self.sync, self.sync, self.refresh, self.die))()
        if self.rng.random() < 0.4:
            self.edit()

    def retry(self) -> None:
        statuses = self.rng.choice((REFUSED, (*REFUSED, ACCEPTED, ROLLED_BACK)))
        run_virtual(release(self.context("retry"), self.bench.spec, QueueFilter(statuses=statuses)))
        self.worlds = {
            key: {
                w._replace(queued=None, accepted=None, held=frozenset())
                if w.queued is not None and w.queued[1] in (*statuses, OUTSIDE)
                else w
                for w in worlds
            }
            for key, worlds in self.worlds.items()
        }

    def context(self, command: str) -> RunContext:
        return self.bench.context(command=command, wait_s=600.0)

    # --- what is seen

    def follow(self, step: Callable[[World, Row | None], Iterable[tuple[World, Sent]]], *, exact: bool = False) -> None:
        """Leaves of the worlds that the step leads to those that fit what stands there. Where `exact`, also what was sent
        (to the right records, the right fields, each once) and what we now believe to stand there."""
        sent: dict[str, list[Sent]] = {}
        for c in self.bench.destination.written:
            asked = frozenset((FIELDS.index(name), value) for name, value in c.fields.items())
            sent.setdefault(c.key, []).append((c.op.value, asked))
        self.bench.destination.written.clear()
        believed = self.believed() if exact else {}
        for key, worlds in self.worlds.items():
            stands, asked_for = self.stands(key), sent.get(key, [None])
            after = {(v, s) for w in worlds for v, s in step(w, self.model.get(key))}
            belief = believed.get(key, (None, False, False))
            fitting = {
                v
                for v, s in after
                if v.there == stands
                and (not exact or ([s] == asked_for and (v.known, v.linked, v.from_row == DOUBT) == belief))
            }
            if not fitting:
                raise Finding(
                    f"{key} stands as {stands}, sent {asked_for}, believed {belief}; the model says {self.model.get(key)}"
                    + "\n  before: "
                    + "\n          ".join(map(str, worlds))
                    + "\n  expected: "
                    + "\n            ".join(map(str, after))
                )
            self.worlds[key] = fitting

    def believed(self) -> dict[str, tuple[Row | None, bool, bool]]:
        """Key → what the snapshot says: the fields, whether the id is known, whether it is in doubt."""
        names = ", ".join(FIELDS)
        found: list[Any] = self.bench.rows(
            f"SELECT key, destination_id IS NOT NULL, row_hash IS NULL, {names} FROM revetl.snapshot__fake__contacts"
        )
        return {key: (tuple(fields), linked, doubt) for key, linked, doubt, *fields in found}

    def stands(self, key: str) -> Row | None:
        found = [r for r in self.bench.destination.records.values() if r["email"] == f"{key}@x.io"]
        if len(found) > 1:
            raise Finding(f"{key} stands there {len(found)} times")
        return tuple(found[0].get(name) for name in FIELDS) if found else None


def play(seeds: range) -> Tally:
    total = Tally()
    for seed in seeds:
        total.add(Machine(seed).play(STEPS_OF_A_HISTORY))
    return total


def explore(
    steps: int, workers: int = 2, play: Callable[[range], Tally] = play, of_a_history: int = STEPS_OF_A_HISTORY
) -> Tally:
    """At least `steps` steps, on all cores."""
    total, size = Tally(), 10
    starts = range(FIRST, FIRST + -(-steps // of_a_history), size)
    with ProcessPoolExecutor(workers) as pool:
        for part in pool.map(play, [range(start, start + size) for start in starts]):
            total.add(part)
            if sys.stderr.isatty():
                done = total.steps.total()
                print(f"\r{done:,} of {steps:,} steps, {len(total.failures)} findings", end="", file=sys.stderr)
    return total


def measure() -> Section:
    total = explore(STEPS)
    return Section(
        title="State machine",
        workload=(
            f"Histories of {STEPS_OF_A_HISTORY} steps, from seed {FIRST} on, over {len(KEYS)} records with two fields of a few values, one of them "
            "`fill_blank` in four of ten, upsert or mirror, creates idempotent or not. After every step the destination "
            "is compared with an oracle in plain values, and what was sent with what had to be sent."
        ),
        header=("step", "times"),
        rows=[(name, f"{n:,}") for name, n in sorted(total.steps.items())],
        verdict=f"Target {STEPS:,} steps clean: {total.steps.total():,}, "
        + ("met." if not total.failures else f"NOT met. {total.failures[0]}"),
    )


if __name__ == "__main__":
    machine = Machine(int(sys.argv[1]))
    print(machine.rules, machine.bench.destination.idempotent_creates)
    found = machine.play(STEPS_OF_A_HISTORY).failures
    print(found[0] if found else "clean")
