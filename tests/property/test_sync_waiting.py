"""Random refusals whose cause goes away at a random time: a bounded number of runs later nothing waits, and the
destination equals the model. Until then every run says that it left something.

The oracle is the model itself and the destination's own rule: one address, one record.
"""

from __future__ import annotations

import os
from datetime import timedelta
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revetl.clock import LoopClock
from revetl.model import Change
from revetl.sync.retry import due
from tests.support.sync_bench import Bench

EXAMPLES = int(os.environ.get("REVETL_EXAMPLES", "6"))
KEYS = ("1", "2", "3", "4")
TWIN = "9"  # has the first record's address, until it gets one of its own
OUTSIDE = ("CONFLICT", "INVALID_OPTION", "MISSING_SCOPES", "OBJECT_NOT_FOUND", "ANY_WORD", "403")
# Chains are no longer than there are records, and so few are tried in a run as `MOST` says.
BOUND = 2 * (len(KEYS) + 1) ** 2

refusals = st.dictionaries(st.sampled_from([*KEYS, TWIN]), st.sampled_from(OUTSIDE))
# How far all addresses have moved on: each record gets the one that the next one leaves. A name that no account takes.
steps = st.tuples(st.integers(0, 2), st.sets(st.sampled_from(KEYS)), refusals, st.booleans())


def model(moved: int, bad: set[str], *, twin: bool, name: str) -> list[tuple[str, str, str, None]]:
    rows: list[tuple[str, str, str, None]] = [
        (key, f"s{moved + i}@x.io", "BAD" if key in bad else name, None) for i, key in enumerate(KEYS)
    ]
    return [*rows, (TWIN, f"s{moved}@x.io" if twin else "t@x.io", name, None)]


def refuse(bench: Bench, causes: dict[str, str]) -> None:
    def refuses(change: Change) -> str | None:
        if change.key in causes:
            return causes[change.key]
        if change.fields.get("firstname") == "BAD":
            return "INVALID_VALUE"
        email = change.fields.get("email")
        held = {i for i, record in bench.destination.records.items() if email and record.get("email") == email}
        return "CONFLICT" if held - {change.destination_id} else None

    bench.destination.refuses = refuses


@settings(
    max_examples=EXAMPLES, derandomize=EXAMPLES < 1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    history=st.lists(steps, min_size=1, max_size=4),
    few=st.sampled_from([0, 2, 100]),
    most=st.integers(1, 3),
    batch_rows=st.integers(1, 3),
    hours=st.sampled_from([0, 1, 25]),
)
def test_once_the_causes_are_gone_nothing_waits_and_the_destination_equals_the_model(
    history: list[tuple[int, set[str], dict[str, str], bool]], few: int, most: int, batch_rows: int, hours: int
) -> None:
    bench = Bench()
    bench.destination.batch_rows = batch_rows
    moved = 0

    def run() -> int:
        report = bench.run()
        equal = bench.rows("SELECT count(*) FROM revetl.rejected__fake__contacts") == [(0,)]
        assert (report.exit_code == 0) == equal, "no record waits behind exit 0"
        assert sum(report.waiting_reasons.values()) == sum(report.waiting.values())
        bench.clock = LoopClock(bench.clock.now() + timedelta(hours=hours))
        return report.exit_code

    with patch.object(due, "FEW", few), patch.object(due, "MOST", most):
        for step, (further, bad, causes, twin) in enumerate(history):
            moved += further
            bench.source(model(moved, bad, twin=twin, name=f"N{step}"))
            refuse(bench, causes)
            run()
        rows = model(moved, set(), twin=False, name="last")
        bench.source(rows)
        refuse(bench, {})
        hours = 25
        runs = 1
        while run() and runs < BOUND:
            runs += 1
        assert runs < BOUND, f"something still waits: {bench.rows('SELECT * FROM revetl.rejected__fake__contacts')}"
        assert {r["email"]: r["firstname"] for r in bench.destination.records.values()} == {r[1]: r[2] for r in rows}
        assert len(bench.destination.records) == len(rows)
        assert bench.run().plan.changes == 0
    bench.warehouse.close()
