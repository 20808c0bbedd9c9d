"""A state machine of what people do at the destination, and of a world that is not kind: records are merged, archived
and made again, edited and given each other's addresses; the source moves unique values in circles and spells the same
in another way; an option goes missing and comes back; runs die and answers are lost; the warehouse is restored.

The state machine of `machine` knows exactly what each record has to be sent, for it looks at one key at a time. Here
records get mixed up with each other, so the oracle is a list of promises, asked around every write and after every run:

- nobody's record: what people made for themselves is not written, nor is the record of another key that is in the model
- one writer: no two keys write one record in one run
- nothing needless: of a record about which nothing is in doubt no equal value is sent, and none at all where its row is
  as it was
- nothing of a person's: what was edited stands until our value of that field changes
- nothing lost: each key of the model stands at the destination as the model has it, or waits by name, and the exit code
  says so; once the causes are gone, only what people have to settle waits
- nothing doubled: no key has two records

A seed repeats its history exactly: `python -m verification.people SEED` tells it step by step.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import Section
from revetl.clock import LoopClock
from revetl.errors import Ambiguous, Denied, GuardrailError, Unavailable
from revetl.model import Change, Guardrails, Operation, Scalar, Status
from revetl.state import outcomes
from revetl.sync import SyncReport
from revetl.warehouse.sql import ident
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.fake_destination import FakeDestination
from tests.support.sync_bench import Bench
from tests.support.virtual_time import run_virtual
from verification.machine import FIRST, Finding, Tally, explore
from verification.simulation import emptied

STEPS = int(os.environ.get("REVETL_PEOPLE_STEPS", "20000"))
STEPS_OF_A_HISTORY = 25
STEPS_OF_A_RUN = 130  # a crash is drawn from this many
KEYS = ("1", "2", "3", "4")
ADDRESSES = ("a@x.io", "b@x.io", "c@x.io", "d@x.io", "e@x.io")
FIELDS = ("email", "whose", "city", "tags", "score")
PLAIN = FIELDS[2:]  # what people edit
# Of each field some values, each in spellings that are equal at the destination.
SPELLINGS: dict[str, tuple[tuple[str | None, ...], ...]] = {
    "city": ((None, ""), ("Riga", " Riga "), ("K\u00f6ln", "Ko\u0308ln"), ("Oslo",)),
    "tags": ((None, ""), ("red;blue", "blue;red"), ("red",)),
    "score": ((None,), ("1", "1.0", "1.00"), ("2", "2.0")),
}
MISSING = "Oslo"  # the option that somebody takes away
BACKUP = "backup"
SNAPSHOT = "snapshot__fake__contacts"
# What only people can settle: two of ours that mean one record, one that was archived, a value that stands elsewhere.
BY_NAME = {
    "SAME_RECORD", "SAME_IDENTITY", "HELD_BY_ANOTHER_KEY", "OBJECT_NOT_FOUND", "VALUE_HELD", "CONFLICT", "NOT_RECONCILABLE",
}  # fmt: skip
OUTSIDE = {"INVALID_OPTION"}


class Row(NamedTuple):
    email: str
    whose: str
    city: str | None
    tags: str | None
    score: str | None

    def form(self, name: str) -> str:
        return normal(name, getattr(self, name))


def normal(name: str, value: Scalar) -> str:
    """What the destination would hold."""
    text = "" if value is None else unicodedata.normalize("NFC", str(value)).strip()
    if name == "email":
        return text.lower()
    if name == "tags":
        return ";".join(sorted(filter(None, text.split(";"))))
    if name == "score" and text:
        return str(Decimal(text).normalize())
    return text


class Spelling(FakeDestination):
    """Compares what it would store."""

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return normal(field, value)


class People:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        rng = self.rng
        self.tally = Tally(histories=1)
        self.told: list[str] = []
        self.mirror = rng.random() < 0.5
        self.folder = tempfile.TemporaryDirectory()
        self.bench = Bench(emptied(), Spelling(fields=FIELDS))
        self.bench.warehouse.execute(f"DROP SCHEMA IF EXISTS {BACKUP} CASCADE")
        self.bench.spec = replace(
            self.bench.spec,
            columns=("golden_id", *FIELDS),
            guardrails=Guardrails(min_rows=0),
            mode="mirror" if self.mirror else "upsert",
            on_leave="archive" if self.mirror else "ignore",
        )
        self.destination = self.bench.destination
        self.destination.unique = {"email"}
        self.destination.vacatable = rng.random() < 0.8
        self.destination.idempotent_creates = rng.random() < 0.5
        self.destination.batch_rows = rng.choice((1, 2, 3))
        self.destination.concurrency = rng.choice((1, 2))
        self.destination.latency_s = rng.choice((0.0, 0.2))
        self.destination.refuses = self.refuses
        self.option_missing = False
        self.model: dict[str, Row] = {}
        self.settled: dict[str, Row] = {}  # of keys about which nothing is in doubt: the row that stands there
        self.ids: dict[str, str] = {}  # the record of each key, after the last run that came to its end
        self.strangers: set[str] = set()  # ids of records that people made for themselves
        self.edited: dict[tuple[str, str], Scalar] = {}  # (id, field) → what a person wrote there
        self.mixed: set[str] = set()  # ids of records that people merged or gave another address
        self.archived: set[str] = set()
        self.backed_up = self.restored = False
        self.since_backup: set[str] = set()  # keys that may have got a record or another address since the backup
        self.then: dict[tuple[str, str], Scalar] = {}  # (key, field) → what a restored snapshot has for certain
        self.doubled: set[str] = set()  # keys that may have two records, which a person was asked about
        self.source()

    # --- playing

    def play(self, steps: int) -> Tally:
        weighted: Sequence[tuple[int, Callable[[], None]]] = (
            (8, self.upsert), (3, self.leave), (6, self.move), (4, self.respell), (10, self.sync), (5, self.die),
            (2, self.lose_answers), (1, self.send_away), (1, self.refresh), (3, self.merge), (3, self.archive),
            (4, self.make_again), (1, self.make_their_own), (5, self.edit), (2, self.swap_addresses),
            (2, self.turn_option), (1, self.back_up), (2, self.restore), (1, self.wait),
        )  # fmt: skip
        weights, all_steps = zip(*weighted, strict=True)
        try:
            for step in self.rng.choices(all_steps, weights, k=steps):
                self.tally.steps[step.__name__] += 1
                self.say(step.__name__)
                # Every loop begins its time anew, and what is done later must not look earlier.
                self.bench.clock = LoopClock(self.bench.clock.now() + timedelta(minutes=10))
                step()
            self.say("settle")
            self.settle()
        except Exception as e:  # noqa: BLE001 - a history that fails is a finding, and the next is played
            said = "\n".join(self.told)
            self.tally.failures.append(f"{said}\nseed {self.seed}: {type(e).__name__}: {e}")
        finally:
            self.folder.cleanup()
        return self.tally

    def say(self, text: str) -> None:
        self.told.append(text)

    # --- the source

    def value(self, name: str) -> str | None:
        return self.rng.choice(self.rng.choice(SPELLINGS[name]))

    def upsert(self) -> None:
        key = self.rng.choice(KEYS)
        free = [a for a in ADDRESSES if a not in {row.form("email") for row in self.model.values()}]
        email = self.model[key].email if key in self.model else self.rng.choice(free)
        self.model[key] = Row(email, f"of {key}", *(self.value(name) for name in PLAIN))
        self.source()

    def leave(self) -> None:
        if self.model:
            del self.model[self.rng.choice(sorted(self.model))]
        self.source()

    def move(self) -> None:
        """Some of the keys get each other's addresses, or one that nobody has."""
        keys = [key for key in sorted(self.model) if self.rng.random() < 0.7]
        addresses = [self.model[key].email for key in keys]
        free = [a for a in ADDRESSES if a not in {row.form("email") for row in self.model.values()}]
        if addresses and self.rng.random() < 0.3:
            addresses[0] = self.rng.choice(free)
        self.rng.shuffle(addresses)
        for key, email in zip(keys, addresses, strict=True):
            self.model[key] = self.model[key]._replace(email=email)
        self.source()

    def respell(self) -> None:
        """Every value in another spelling."""
        for key, row in self.model.items():
            again = (self.rng.choice(next(s for s in SPELLINGS[n] if getattr(row, n) in s)) for n in PLAIN)
            email = self.rng.choice((row.form("email"), row.form("email").upper()))
            self.model[key] = Row(email, row.whose, *again)
        self.source()

    def source(self) -> None:
        self.bench.source(
            [(key, *row) for key, row in sorted(self.model.items())],
            f"golden_id VARCHAR, {', '.join(f'{name} VARCHAR' for name in FIELDS)}",
        )
        self.say(f"  the model: {[(key, *row) for key, row in sorted(self.model.items())]}")

    # --- people

    def record(self) -> str | None:
        present = sorted(self.destination.records, key=int)
        return self.rng.choice(present) if present else None

    def merge(self) -> None:
        if len(self.destination.records) < 2:
            return
        one, two = self.rng.sample(sorted(self.destination.records, key=int), 2)
        id_ = self.destination.merge(one, two)
        self.strangers -= {one, two}
        self.mixed.add(id_)
        self.say(f"  a person: {one} and {two} became {id_}: {self.destination.records[id_]}")

    def archive(self) -> None:
        if (id_ := self.record()) is not None:
            self.destination.records.pop(id_)
            self.destination.further.pop(id_, None)
            self.archived.add(id_)
            self.say(f"  a person: {id_} is archived")

    def make_again(self) -> None:
        """A form makes a record with an address of the model, where no record has it."""
        free = [row.form("email") for row in self.model.values() if not self.having(row.form("email"))]
        if free:
            id_ = self.destination.make(email=self.rng.choice(free), city=self.value("city"))
            self.say(f"  a person: {id_} is made: {self.destination.records[id_]}")

    def make_their_own(self) -> None:
        id_ = self.destination.make(email=f"stranger{len(self.told)}@x.io", whose="theirs")
        self.strangers.add(id_)
        self.say(f"  a person: {id_} is made, which is none of ours")

    def edit(self) -> None:
        if (id_ := self.record()) is not None:
            name = self.rng.choice(PLAIN)
            value = self.rng.choice((self.value(name), None if name == "score" else "by hand"))
            self.destination.records[id_][name] = self.edited[id_, name] = value
            self.say(f"  a person: {name} of {id_} is {value!r}")

    def swap_addresses(self) -> None:
        if len(self.destination.records) < 2:
            return
        one, two = self.rng.sample(sorted(self.destination.records, key=int), 2)
        records = self.destination.records
        records[one]["email"], records[two]["email"] = records[two].get("email"), records[one].get("email")
        self.mixed |= {one, two}
        self.strangers -= {one, two}
        self.say(f"  a person: {one} and {two} have each other's address")

    def turn_option(self) -> None:
        self.option_missing = not self.option_missing
        self.say(f"  the option {MISSING} is {'missing' if self.option_missing else 'there'}")

    def refuses(self, change: Change) -> str | None:
        return "INVALID_OPTION" if self.option_missing and change.fields.get("city") == MISSING else None

    def wait(self) -> None:
        self.bench.clock = LoopClock(self.bench.clock.now() + timedelta(hours=25))

    # --- the warehouse

    def back_up(self) -> None:
        warehouse = self.bench.warehouse
        warehouse.execute(f"DROP SCHEMA IF EXISTS {BACKUP} CASCADE")
        warehouse.execute(f"CREATE SCHEMA {BACKUP}")
        for name in warehouse.tables(warehouse.state_schema):
            warehouse.execute(f"CREATE TABLE {BACKUP}.{ident(name)} AS FROM {self.state_table(name)}")
        self.backed_up, self.since_backup = True, set()

    def restore(self) -> None:
        if not self.backed_up:
            return
        warehouse = self.bench.warehouse
        kept = warehouse.tables(BACKUP)
        for name in warehouse.tables(warehouse.state_schema):
            warehouse.execute(
                f"DROP TABLE {self.state_table(name)}" if name not in kept else f"DELETE FROM {self.state_table(name)}"
            )
            if name in kept:
                warehouse.execute(f"INSERT INTO {self.state_table(name)} BY NAME FROM {BACKUP}.{ident(name)}")
        self.settled, self.ids, self.restored = {}, {}, True
        columns = ", ".join(ident(name) for name in FIELDS)
        found = self.snapshot(columns, "row_hash IS NOT NULL")
        self.then = {(str(key), n): v for key, *values in found for n, v in zip(FIELDS, values, strict=True)}
        self.say("  the warehouse is the backup")

    def snapshot(self, columns: str, which: str = "true") -> list[tuple[Any, ...]]:
        """Of each record its key and these. A warehouse of before the first run has none."""
        if SNAPSHOT not in self.bench.warehouse.tables(self.bench.warehouse.state_schema):
            return []
        return self.bench.rows(f"SELECT key, {columns} FROM {self.state_table(SNAPSHOT)} WHERE {which}")

    def state_table(self, name: str) -> str:
        return f"{ident(self.bench.warehouse.state_schema)}.{ident(name)}"

    # --- runs

    def sync(self) -> None:
        self.whole(self.run())

    def refresh(self) -> None:
        self.settled = {}
        self.whole(self.run(full_refresh=True), whole=True)

    def lose_answers(self) -> None:
        left = self.rng.randint(0, 2)

        def lose(_: Sequence[Change]) -> None:
            nonlocal left
            left -= 1
            if left < 0 and self.rng.random() < 0.5:
                raise Ambiguous("lost")

        self.broken(before=lose if self.rng.random() < 0.5 else None, after=lose)

    def send_away(self) -> None:
        """The vendor is away, or the token lacks a scope since today."""
        kind, left = self.rng.choice((Unavailable, Denied)), self.rng.randint(0, 2)

        def away(_: Sequence[Change]) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise kind("not now")

        self.broken(before=away)

    def die(self) -> None:
        fuse = Fuse(self.rng.randint(1, STEPS_OF_A_RUN))
        inner = self.bench.warehouse
        self.bench.warehouse = CrashingWarehouse(inner, fuse)

        def tick(_: Sequence[Change]) -> None:
            fuse.tick()

        try:
            self.broken(before=tick, after=tick, intent_rows=self.rng.choice((None, 1)))
        except Crash:
            self.settled = {}
            self.say(f"  died at step {fuse.at}")
        finally:
            self.bench.warehouse = inner

    def broken(
        self,
        before: Callable[[Sequence[Change]], None] | None = None,
        after: Callable[[Sequence[Change]], None] | None = None,
        **options: Any,
    ) -> None:
        """A run in which something goes wrong; what it leaves is in doubt until the next one has ended."""
        report = self.run(before=before, after=after, **options)
        self.settled = {}
        if report is not None:
            self.say(f"  {report.status} {report.counts}")

    def run(
        self,
        *,
        before: Callable[[Sequence[Change]], None] | None = None,
        after: Callable[[Sequence[Change]], None] | None = None,
        **options: Any,
    ) -> SyncReport | None:
        """None: nothing was sent, for what stands there may be newer than what is known, and a person has to look."""
        watch = _Watch(self)

        def both_before(changes: Sequence[Change]) -> None:
            if before is not None:
                before(changes)
            watch.see(changes)

        self.destination.before_write, self.destination.after_write = both_before, after or (lambda _: None)
        self.destination.written.clear()
        self.since_backup |= self.model.keys()
        try:
            return self._run(options)
        except GuardrailError as e:
            if not self.restored:
                raise
            if self.destination.written:
                raise Finding(f"something was sent by a run that stopped: {self.destination.written}") from e
            # A person has looked, and says that what is to be made may be made.
            self.say(f"  stopped: {e}")
            self.doubled |= self.since_backup
            return self._run(options | {"allow": ["restored"]})
        finally:
            self.destination.before_write = self.destination.after_write = lambda _: None
            if watch.alarms:
                raise Finding(watch.alarms[0])

    def _run(self, options: dict[str, Any]) -> SyncReport:
        folder = Path(self.folder.name)
        # Ten minutes: longer than a dead holder's lease.
        return run_virtual(self.bench.start(wait_s=600.0, state_dir=folder, **options))

    # --- what is seen

    def whole(self, report: SyncReport | None, *, whole: bool = False) -> None:
        """A run that came to its end: what it owes."""
        assert report is not None
        queue = self.queue()
        self.say(f"  {report.status}, exit code {report.exit_code}, {report.counts}, waiting: {queue}")
        if report.status not in ("done", "partial"):
            raise Finding(f"the run ended {report.status}: {report.error}")
        # In doubt without a lost answer: what was emptied for a hand-over could be given neither value.
        doubted = self.doubted(report)
        if (report.exit_code == 0) != (not queue and not report.plan.held and not doubted):
            raise Finding(f"exit code {report.exit_code}, and {queue} wait")
        if report.waiting_reasons != dict(Counter(queue.values())):
            raise Finding(f"{queue} wait, and the run says {report.waiting_reasons}")
        whole = whole or report.plan.full_refresh
        known, holders = self.known(), dict[str, str]()
        for key, row in self.model.items():
            if key in queue:
                if queue[key] not in BY_NAME | OUTSIDE:
                    raise Finding(f"{key} waits for {queue[key]}")
                self.settled.pop(key, None)
                continue
            if key in doubted:
                self.settled.pop(key, None)
                continue
            id_ = self.destination.led(known.get(key))
            if id_ not in self.destination.records:
                if id_ in self.archived and not whole and not self.is_due(key):
                    continue  # nothing was due, so nothing was looked at
                raise Finding(f"{key} is lost: known as {known.get(key)}, and does not wait")
            if id_ in holders and (whole or (self.is_due(key) and self.is_due(holders[id_]))):
                raise Finding(f"{key} and {holders[id_]} both write {id_}")
            holders[id_] = key
            if report.plan.read_back:
                self.leave_as_theirs(key, row, id_)
            self.compare(key, row, id_, whole=whole, held=bool(report.plan.held))
        for key in [k for k in known if k not in self.model and k not in queue and self.mirror]:
            raise Finding(f"{key} has left the model, and the snapshot has it: {known[key]}")
        self.restored = False
        self.settled = {key: row for key, row in self.model.items() if key not in queue}
        self.ids = {key: self.destination.led(id_) for key, id_ in known.items()}
        self.look_for_doubles(queue)

    def is_due(self, key: str) -> bool:
        return key in self.settled and not self.was_as_it_is(key)

    def was_as_it_is(self, key: str) -> bool:
        return row_equal(self.settled.get(key), self.model[key])

    def leave_as_theirs(self, key: str, row: Row, id_: str) -> None:
        """After a restore: a field that the model has as the snapshot had it may be a person's, and is from now on."""
        for name in FIELDS:
            as_then = (key, name) in self.then and normal(name, self.then[key, name]) == row.form(name)
            if as_then and normal(name, stands := self.destination.records[id_].get(name)) != row.form(name):
                self.edited.setdefault((id_, name), stands)

    def compare(self, key: str, row: Row, id_: str, *, whole: bool, held: bool) -> None:
        stands, earlier = self.destination.records[id_], self.settled.get(key)
        for name in FIELDS:
            due = whole or earlier is None or earlier.form(name) != row.form(name)
            theirs = self.edited.get((id_, name))
            equal = normal(name, stands.get(name)) == row.form(name)
            if name == "email":
                equal = equal or row.form(name) in [normal(name, v) for v in self.destination.further.get(id_, ())]
                due = due and id_ not in self.mixed and not held
            if due and earlier is None and id_ in self.mixed and not whole:
                self.edited.pop((id_, name), None)
                continue  # a run before may have written it, and people have merged it since
            if not row.form(name) and (self.ids.get(key) != id_ or (earlier is None and not whole)):
                due = False  # what stands in a record that is adopted stays where we have nothing
            if due and not equal and not (earlier is None and (id_, name) in self.edited and not whole):
                raise Finding(f"{name} of {key} stands as {stands.get(name)!r}, not {getattr(row, name)!r}")
            if (
                earlier
                and not due
                and (id_, name) in self.edited
                and normal(name, stands.get(name)) != normal(name, theirs)
            ):
                raise Finding(f"{name} of {key} was {theirs!r} by a person's hand, and is {stands.get(name)!r}")
            if equal or normal(name, stands.get(name)) != normal(name, theirs):
                self.edited.pop((id_, name), None)

    def look_for_doubles(self, queue: dict[str, str]) -> None:
        seen = Counter(str(r.get("whose")) for i, r in self.destination.records.items() if i not in self.mixed)
        for key in self.model:
            if seen[f"of {key}"] > 1 and key not in queue and key not in self.doubled:
                raise Finding(f"{key} stands there {seen[f'of {key}']} times: {self.destination.records}")

    def settle(self) -> None:
        """All causes go away; a few runs later only what people have to settle waits, and all else stands whole."""
        self.option_missing = False
        for _ in range(3):
            self.wait()
            self.refresh()
        for key, code in self.queue().items():
            if key in self.model and code not in BY_NAME:
                raise Finding(f"{key} waits for {code}, and nothing is in its way")
        self.sync()
        if needless := [c for c in self.destination.written if c.key not in self.queue()]:
            raise Finding(f"all stands, and this was sent: {needless}")

    def queue(self) -> dict[str, str]:
        return {
            str(k): str(c) for k, c in self.bench.rows("SELECT key, error_code FROM revetl.rejected__fake__contacts")
        }

    def doubted(self, report: SyncReport) -> set[str]:
        return {str(o.key) for o in outcomes.of_run(self.bench.warehouse, report.run_id) if o.status == Status.UNKNOWN}

    def known(self) -> dict[str, str]:
        found = self.snapshot("destination_id")
        return {str(key): str(id_) for key, id_ in found}

    def having(self, email: str) -> list[str]:
        return [
            id_
            for id_, record in self.destination.records.items()
            if email in [normal("email", v) for v in (record.get("email"), *self.destination.further.get(id_, ()))]
        ]


def row_equal(one: Row | None, other: Row) -> bool:
    """Whether the destination would hold the same for both."""
    return one is not None and all(one.form(name) == other.form(name) for name in FIELDS)


class _Watch:
    """What must hold of every write of a run, at the moment at which it arrives."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.settled = dict(people.settled)
        self.holders: dict[str, set[str]] = {}
        for key, id_ in people.known().items():
            self.holders.setdefault(people.destination.led(id_), set()).add(key)
        self.writers: dict[str, str] = {}
        self.alarms: list[str] = []  # not raised at once: the engine would take it for the vendor's failure

    def see(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._see(change)

    def _see(self, change: Change) -> None:
        people, key = self.people, change.key
        if change.destination_id is None:
            return
        id_ = people.destination.led(change.destination_id)
        record = people.destination.records.get(id_)
        if record is None:
            return
        if id_ in people.strangers:
            self.alarms.append(f"{key} writes a stranger's record: {change}")
        others = {k for k in self.holders.get(id_, ()) if k != key and k in people.model}
        if others and key not in self.holders.get(id_, ()) and id_ not in people.mixed:
            self.alarms.append(f"{key} writes the record of {others}: {change}")
        if self.writers.setdefault(id_, key) != key:
            self.alarms.append(f"{key} and {self.writers[id_]} write one record: {change}")
        row, earlier = people.model.get(key), self.settled.get(key)
        if row is None or earlier is None or change.op is not Operation.UPDATE or people.queue().get(key):
            return
        if row_equal(earlier, row):
            self.alarms.append(f"the row of {key} is as it was, and this is sent: {change}")
        for name, value in change.fields.items():
            if normal(name, record.get(name)) == normal(name, value):
                self.alarms.append(f"{name} of {key} stands there as {record.get(name)!r}, and is sent as {value!r}")


def play(seeds: range) -> Tally:
    total = Tally()
    for seed in seeds:
        total.add(People(seed).play(STEPS_OF_A_HISTORY))
    return total


def measure() -> Section:
    total = explore(STEPS, play=play, of_a_history=STEPS_OF_A_HISTORY)
    return Section(
        title="People",
        workload=(
            f"Histories of {STEPS_OF_A_HISTORY} steps, from seed {FIRST} on, over {len(KEYS)} records with a unique address and four more fields, "
            "upsert or mirror. People merge, archive, make and edit records and swap their addresses; the source moves "
            "addresses in circles and spells equal values in another way; an option goes missing and comes back; runs "
            "die, answers are lost, the warehouse is restored from a backup. Around every write and after every run: "
            "nothing of others is written, nothing equal or twice is sent, no person's edit is lost, and what does not "
            "stand there waits by name, with an exit code that says so."
        ),
        header=("step", "times"),
        rows=[(name, f"{n:,}") for name, n in sorted(total.steps.items())],
        verdict=f"Target {STEPS:,} steps clean: {total.steps.total():,}, "
        + ("met." if not total.failures else f"NOT met. {total.failures[0]}"),
    )


if __name__ == "__main__":
    history = People(int(sys.argv[1]))
    print(f"mirror={history.mirror} {history.destination}")
    found = history.play(STEPS_OF_A_HISTORY).failures
    print(found[0] if found else "clean")
