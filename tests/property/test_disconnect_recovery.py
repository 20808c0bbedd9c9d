"""A destination is left, and the process dies at any statement or request. The same command again ends it: what stood
before us stands, what a person edited stands, and no state is left."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest

from revetl.errors import GuardrailError
from revetl.model import Association, Guardrails
from revetl.state import syncs
from revetl.sync.disconnect.disconnecting import DisconnectOptions, disconnect
from revetl.sync.disconnect.taking_back import Leaving
from tests.property.test_rollback_recovery import dies
from tests.unit.test_sync_disconnect import left, state_of
from tests.unit.test_sync_links import Two

# CI tries every n-th step, `REVETL_EXAMPLES=1000` and more every one.
STRIDE = 1 if int(os.environ.get("REVETL_EXAMPLES", "25")) >= 1000 else 151

DDL = "golden_id VARCHAR, email VARCHAR, city VARCHAR, firm_id VARCHAR"


def a_bench() -> Two:
    """Half of the people were there before us; a person edits one of each half after our run."""
    bench = Two()
    bench.destination.fields = ("email", "city", "domain")
    bench.destination.batch_rows, bench.destination.concurrency = 2, 2
    bench.sync_as(
        columns=("golden_id", "email", "city", "firm_id"),
        associate=(Association("fake__firms", "firm_id", 1, "firms"),),
        guardrails=Guardrails(min_rows=0),
    )
    for n in range(4):
        bench.destination.make(email=f"{n}@x.io", city=f"before {n}")
    bench.firms("acme")
    bench.run_firms()
    bench.source([(f"{n}", f"{n}@x.io", "ours", "acme" if n % 2 else None) for n in range(8)], DDL)
    bench.run()
    for record in bench.destination.records.values():
        if record.get("email") in ("3@x.io", "7@x.io"):
            record["city"] = "hand"
    return bench


CLEARED = [(f"{n}@x.io", "hand" if n in (3, 7) else f"before {n}" if n < 4 else None) for n in range(8)]
ARCHIVED = [(f"{n}@x.io", "hand" if n in (3, 7) else "ours") for n in (0, 1, 2, 3, 7)]


def stands(bench: Two) -> list[tuple[Any, ...]]:
    people = [r for r in bench.destination.records.values() if r.get("email")]
    return sorted((r["email"], r.get("city")) for r in people)


async def leave_slowly(bench: Two, way: Leaving) -> Any:
    known = syncs.read(bench.warehouse, bench.spec.name)
    assert known is not None
    options = DisconnectOptions(way=way, intent_rows=2)
    return await disconnect(bench.context(command="disconnect"), known, bench.destination, options)


@pytest.mark.parametrize("sync_between", [False, True], ids=["again", "a sync, then again"])
@pytest.mark.parametrize("way", [Leaving.CLEAR, Leaving.ARCHIVE])
def test_a_disconnect_that_dies_anywhere_is_ended_by_the_next(way: Leaving, sync_between: bool) -> None:
    # The forms try different steps.
    ended, crash_at = False, 1 + sync_between * (STRIDE // 2)
    while not ended:
        bench = a_bench()
        ended = dies(bench, crash_at, partial(leave_slowly, bench, way))
        known = syncs.read(bench.warehouse, bench.spec.name)
        assert known is not None
        if sync_between and known.disconnect_at is not None:  # an hourly run comes in between: it sends nothing
            with pytest.raises(GuardrailError, match="was disconnected on"):
                bench.run()
        again = left(bench, way)
        assert again.disconnected, crash_at
        assert stands(bench) == (CLEARED if way is Leaving.CLEAR else ARCHIVED), crash_at
        assert way is not Leaving.CLEAR or bench.destination.links == set(), crash_at
        assert state_of(bench) == [], crash_at
        bench.warehouse.close()
        crash_at += STRIDE
