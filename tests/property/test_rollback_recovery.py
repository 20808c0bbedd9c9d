"""A rollback, a drift that is settled: the process dies at any statement or request. Whatever comes next, a sync or the
same command again, no value is lost, and in the end the destination is as if nothing had died."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import pytest

from revetl.model import Change
from revetl.state.runs import get_run
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.rollback.rolling_back import RollbackChoices, RollbackOptions, roll_back
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.sync_bench import Bench, drift, read_back

# CI tries every n-th step, `REVETL_EXAMPLES=1000` and more every one.
STRIDE = 1 if int(os.environ.get("REVETL_EXAMPLES", "25")) >= 1000 else 31

KEYS = [f"{n}" for n in range(6)]
GOOD = [(k, f"{k}@x.io", f"Name {k}", "Riga") for k in KEYS]
BAD = [(k, f"{k}@x.io", "BAD", None) for k in KEYS]
NEW = [("n", "n@x.io", "New", "Oslo")]


def bench_with_a_bad_run(*, idempotent: bool = True) -> tuple[Bench, str]:
    """`n` is created by the bad run, the others are overwritten."""
    bench = Bench()
    bench.destination.idempotent_creates = idempotent
    bench.destination.batch_rows, bench.destination.concurrency = 2, 2
    bench.source(GOOD)
    bench.run()
    bench.source(BAD + NEW)
    bad = bench.run().run_id
    return bench, bad


def dies(bench: Bench, crash_at: int, work: Callable[[], Coroutine[Any, Any, Any]]) -> bool:
    """Runs until the fuse burns; True where it came to its end."""
    fuse, inner = Fuse(crash_at), bench.warehouse
    bench.warehouse = CrashingWarehouse(inner, fuse)
    read = bench.destination.read_back

    def tick(_: Sequence[Change]) -> None:
        fuse.tick()

    async def ticking(*arguments: Any) -> Any:
        fuse.tick()
        return await read(*arguments)

    bench.destination.before_write = bench.destination.after_write = tick
    bench.destination.read_back = ticking
    try:
        asyncio.run(work())
    except Crash:
        return False
    finally:
        bench.warehouse = inner
        bench.destination.before_write = bench.destination.after_write = lambda _: None
        del bench.destination.read_back
    return True


async def roll_back_run(bench: Bench, run_id: str) -> Any:
    run = get_run(bench.warehouse, run_id)
    assert run is not None
    ctx, choices = bench.context(command="rollback"), RollbackChoices(archive_created=True)
    return await roll_back(ctx, bench.spec, bench.destination, run, choices, RollbackOptions(intent_rows=2))


def stands(bench: Bench) -> list[tuple[Any, ...]]:
    records = bench.destination.by("email").values()
    return sorted((r["email"], r.get("firstname"), r.get("city")) for r in records)


UNDONE = sorted(row[1:] for row in GOOD)


@pytest.mark.parametrize("sync_first", [False, True], ids=["again", "sync, then again"])
def test_a_rollback_that_dies_anywhere_is_finished_by_the_next(sync_first: bool) -> None:
    # The two forms try different steps.
    ended, crash_at = False, 1 + sync_first * (STRIDE // 2)
    while not ended:
        bench, bad = bench_with_a_bad_run()
        # Taken where the test dies, not where the fuse would burn first: reading the run's row.
        ended = dies(bench, crash_at, partial(roll_back_run, bench, bad))
        if sync_first:
            # It may have made `n` again, where the archive had landed: then that is what there is to undo.
            between = bench.run()
            asyncio.run(roll_back_run(bench, between.run_id))
        again = asyncio.run(roll_back_run(bench, bad))
        assert again.status == "done", crash_at
        assert stands(bench) == UNDONE, crash_at
        bench.destination.written.clear()
        report = bench.run()
        assert (bench.destination.written, report.plan.changes) == ([], 0), (
            f"step {crash_at}: a sync undoes the rollback"
        )
        changed = ("n", "n@x.io", "Newer", "Oslo")
        bench.source([*GOOD, changed])
        bench.run()
        assert stands(bench) == sorted([*UNDONE, changed[1:]]), crash_at
        bench.warehouse.close()
        crash_at += STRIDE


@pytest.mark.parametrize("side", ["accept", "reassert"])
def test_a_settled_drift_stands_whole_or_not_at_all(side: str) -> None:
    edited = [("Hand", "Riga"), ("Name 1", "Bonn")]
    ended, crash_at = False, 1
    while not ended:
        bench = Bench()
        bench.source(GOOD)
        bench.run()
        ids = sorted(bench.destination.records)
        bench.destination.records[ids[0]]["firstname"] = "Hand"
        bench.destination.records[ids[1]]["city"] = "Bonn"
        del bench.destination.records[ids[2]]
        bench.destination.written.clear()
        ended = dies(bench, crash_at, partial(read_back, bench, DriftResolution(side, None)))
        bench.run()
        sent = list(bench.destination.written)
        # All of it or none: a snapshot that took one value and not the next would send or hide one of them.
        assert len(sent) in ((0,) if side == "accept" else (0, 3)), (crash_at, sent)
        drift(bench, DriftResolution(side, None))
        bench.run()
        here = [r[1:] for r in stands(bench)]
        if side == "accept":
            assert here[:2] == edited, crash_at
            assert len(here) == len(GOOD) - 1
        else:
            assert stands(bench) == UNDONE, crash_at
        assert bench.run().plan.changes == 0
        bench.warehouse.close()
        crash_at += STRIDE
