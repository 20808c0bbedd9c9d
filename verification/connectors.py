"""Real SIGKILL in front of every connector: a real database file and process, the vendor's sandbox over HTTP or a real
server, the whole engine between.

Each round changes the source and lets a process run the sync until it kills itself at one step: a statement, either end
of a commit, either side of a request, of a COMMIT there, of a file. In two of three rounds the next processes are killed as
well, while they recover; in some the source has changed back by then. A last one runs to its end, and what stands at
the destination is read past the connector and compared with the source.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.report import Section
from revetl.errors import RevetlError
from revetl.sync import SyncReport, run_sync
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.crashing import CrashingWarehouse
from tests.support.sync_bench import context
from verification.connector_places import KEYS, Place, QuickClock, Standing, places
from verification.kills import DeadlyFuse, in_process

KILLS = int(os.environ.get("REVETL_CONNECTOR_KILLS", "330"))
_AT_ONCE = 6
_FORK = multiprocessing.get_context("fork")
SEED = int(os.environ.get("REVETL_FIRST_SEED", "0"))

Source = dict[str, str]


@dataclass(frozen=True)
class Life:
    """What one process did before it ended by itself. `unknown`: keys that are told so; nothing is sent of them until a
    person has looked."""

    steps: int
    status: str
    unknown: frozenset[str]


def run_once(place: Place, database: Path, source: Source, kill_at: int | None) -> Life:
    """One process's life: brings the model to `source` (key → value), then runs the sync."""
    warehouse = DuckDBWarehouse(database, threads=1)
    columns = ", ".join(f'{sql} AS "{name}"' for name, sql in place.columns.items() if name != "golden_id")
    values = ", ".join(f"('{key}', '{value}')" for key, value in source.items())
    warehouse.execute(
        f"""
        CREATE OR REPLACE TABLE people AS
        SELECT key AS golden_id, {columns}
        FROM (VALUES {values}) AS source (key, value)
        """
    )
    fuse, clock = DeadlyFuse(kill_at), QuickClock()

    async def sync() -> SyncReport:
        async with place.connect(clock, fuse) as destination:
            ctx = context(CrashingWarehouse(warehouse, fuse), clock, target="verify", wait_s=4_000.0)
            return await run_sync(ctx, place.spec, destination)

    try:
        status = asyncio.run(sync()).status
    except RevetlError as e:
        status = f"{type(e).__name__}: {e}"
    rows = warehouse.rows("SELECT key FROM revetl.outcomes GROUP BY key HAVING arg_max(status, \"at\") = 'unknown'")
    warehouse.close()
    return Life(fuse.step, status, frozenset(str(row[0]) for row in rows))


@dataclass
class Tally:
    """Of one connector. `unknown`: records that wait for a person after the last round."""

    kills: int = 0
    rounds: int = 0
    steps: int = 0
    lost: int = 0
    stale: int = 0
    doubled: int = 0
    unknown: int = 0
    first_failure: str = ""

    def judge(self, source: Mapping[str, str], stands: Standing, unknown: frozenset[str]) -> None:
        """Lost: nowhere, and not told as unknown. Stale: with another value, or there without a row. Doubled: more than
        one record for a key."""
        lost = sum(key not in stands and key not in unknown for key in source)
        doubled = sum(len(values) > 1 for values in stands.values())
        stale = sum(stands[key][0] != value for key, value in source.items() if key in stands)
        stale += len(stands.keys() - source.keys())
        self.lost, self.stale, self.doubled = self.lost + lost, self.stale + stale, self.doubled + doubled
        if lost or stale or doubled:
            self.fail(f"lost {lost}, stale {stale}, doubled {doubled}")

    def fail(self, said: str) -> None:
        self.first_failure = self.first_failure or f"round {self.rounds}: {said}"


def play(place: Place, folder: Path, kills: int, seed: int) -> Tally:
    """Rounds until so many processes were killed."""
    rng, tally, database = random.Random(seed), Tally(), folder / "warehouse.duckdb"
    source = dict.fromkeys(KEYS[: 3 if place.grows else 30], "v")
    for value in ("first", "second"):
        alone: Life = in_process(run_once, place, database, source, None)
        if alone.status != "done":
            raise RuntimeError(f"{place.title}: a run that nobody kills ends with {alone.status}")
        tally.steps = alone.steps
        source = _changed(place, source, rng, value)
    while tally.kills < kills:
        tally.rounds += 1
        earlier = source
        source = _changed(place, source, rng, f"r{tally.rounds}")
        # The first evenly over the steps of a run, the others while the next processes recover.
        deaths = [1 + int((tally.kills + rng.random()) / kills * tally.steps)]
        deaths += [1 + rng.randrange(tally.steps // 2) for _ in range(tally.rounds % 3)]
        for at in deaths:
            tally.kills += in_process(run_once, place, database, source, at) is None
            if not place.grows and rng.random() < 0.3:
                source = earlier
        _heal(place, database, source, tally)
    return tally


def _heal(place: Place, database: Path, source: Source, tally: Tally) -> None:
    healed: Life = in_process(run_once, place, database, source, None)
    if healed.status != "done" and not (healed.unknown and place.may_stay_unknown):
        tally.fail(healed.status)
    tally.unknown = len(healed.unknown)
    if healed.unknown and not place.may_stay_unknown:
        tally.fail(f"{len(healed.unknown)} stay unknown")
    try:
        stands = place.standing()
    except AssertionError as e:
        tally.doubled += 1
        tally.fail(str(e))
    else:
        tally.judge(source, stands, healed.unknown)


def _changed(place: Place, source: Source, rng: random.Random, value: str) -> Source:
    """A third changes, some leave, some come; where rows are only added, three more."""
    if place.grows:
        start = len(source)
        return source | {f"k{n:02d}": value for n in range(start, start + 3)}
    after = {k: (value if rng.random() < 0.34 else v) for k, v in source.items() if rng.random() > 0.05}
    for key in rng.sample(KEYS, 4):
        after.setdefault(key, value)
    return after


def play_all(every: Sequence[Place], folder: Path, kills: int) -> list[Tally]:
    """Each in a process of its own, `_AT_ONCE` at work: a run mostly waits for its disk. They are forked before any of
    them begins, while nothing else goes on here."""
    free = _FORK.BoundedSemaphore(_AT_ONCE)

    def body(place: Place, n: int, answer: Connection) -> None:
        own = folder / f"place-{n}"
        own.mkdir()
        with free:
            answer.send(play(place, own, kills, SEED + n))

    playing = []
    for n, place in enumerate(every):
        ours, theirs = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=body, args=(place, n, theirs))
        process.start()
        theirs.close()
        playing.append((place, process, ours))
    tallies = []
    for place, process, answer in playing:
        tallies.append(answer.recv())  # EOFError: it failed, and has said why
        process.join()
        print(f"{place.title}: {tallies[-1]}", file=sys.stderr, flush=True)
    return tallies


def measure() -> Section:
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        every, missing = places(stack, Path(scratch))
        tallies = play_all(every, Path(scratch), -(-KILLS // len(every)))
    total = sum(tally.kills for tally in tallies)
    failures = [f"not tried: {reason}" for reason in missing]
    failures += [f"{p.title}: {t.first_failure}" for p, t in zip(every, tallies, strict=True) if t.first_failure]
    rows = [
        (
            place.title,
            place.guarantee,
            f"{tally.kills} ({tally.rounds}) over {tally.steps}",
            f"{tally.lost} / {tally.stale} / {tally.doubled}",
            str(tally.unknown),
        )
        for place, tally in zip(every, tallies, strict=True)
    ]
    return Section(
        title="SIGKILL in front of every connector",
        workload=(
            f"{total} real SIGKILLs, the seed {SEED}: a DuckDB file, the whole engine, and the vendor's sandbox over HTTP, "
            "PostgreSQL, MariaDB, a folder, moto's S3 or OpenSSH. A mirror of about 30 records in batches of 5 changes by a "
            "third; of messages three are added. The process kills itself at a step: a statement, either end of a "
            "commit, either side of a request, of a file or of a COMMIT at the destination. In two of three rounds the "
            "next processes are killed as well while they recover, and in some the source has changed back. What stands is "
            "then read past the connector. A webhook can't be read: what may have been posted is told as unknown and "
            "waits for a person, so nothing is doubled and nothing is lost unsaid."
        ),
        header=("connector", "guarantee", "kills (in rounds), over steps of a run", "lost / stale / doubled", "told as unknown"),
        rows=rows,
        verdict="Target ≥ 300 kills, 0 lost, 0 stale, 0 doubled: "
        + (f"NOT met. {failures[0]}" if failures else "met." if total >= 300 else f"met, in {total} kills: a short form."),
    )  # fmt: skip
