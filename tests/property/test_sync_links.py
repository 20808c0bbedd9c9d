"""Random histories of who belongs to which firm, with the process dying at any statement or request: after one run of
both syncs that ends, the destination's links are those of the model, and links of people still stand."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revetl.destinations.base import Pair
from revetl.model import Association, Change, Guardrails
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.unit.test_sync_links import FIRMS, Two

# How much is tried: CI tries a little each time, `REVETL_EXAMPLES=100000` a lot.
EXAMPLES = int(os.environ.get("REVETL_EXAMPLES", "2"))
STRIDE = 5 if EXAMPLES < 1000 else 1

PEOPLE, COMPANIES = ("ann", "bob", "cid"), ("acme", "bolt")
belongs = st.dictionaries(st.sampled_from(PEOPLE), st.sampled_from([None, *COMPANIES]))
there = st.sets(st.sampled_from(COMPANIES))
State = tuple[dict[str, str | None], set[str]]
states = st.tuples(belongs, there)


def two(*, idempotent: bool, on_leave: str) -> Two:
    bench = Two()
    bench.destination.fields = ("email", "domain")
    bench.destination.idempotent_creates = idempotent
    bench.destination.batch_rows = 2
    bench.sync_as(
        columns=("golden_id", "email", "firm_id"),
        associate=(Association("fake__firms", "firm_id", 1, "firms"),),
        guardrails=Guardrails(min_rows=0),
        mode="mirror",
        on_leave=on_leave,
    )
    return bench


def run(
    bench: Two, state: State, crash_at: int | None, at_link: Callable[[Fuse], None] = lambda fuse: fuse.tick()
) -> bool:
    """Both syncs, one after the other; True where they came to their end."""
    people, firms = state
    bench.people(**people)
    bench.firms(*firms)
    fuse, inner, contacts = Fuse(crash_at), bench.warehouse, bench.spec
    bench.warehouse = CrashingWarehouse(inner, fuse)

    def tick(_: Sequence[Change] | Sequence[Pair]) -> None:
        fuse.tick()

    bench.destination.before_write = bench.destination.after_write = tick
    bench.destination.before_link = lambda _: at_link(fuse)
    bench.destination.after_link = tick
    try:
        for bench.spec in (FIRMS, contacts):
            bench.run()
    except Crash:
        return False
    finally:
        bench.warehouse, bench.spec = inner, contacts
    return True


def wanted(state: State) -> list[tuple[str, str]]:
    people, firms = state
    return sorted((person, firm) for person, firm in people.items() if firm in firms)


@settings(
    max_examples=EXAMPLES, derandomize=EXAMPLES < 1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    history=st.lists(st.tuples(states, st.one_of(st.none(), st.integers(1, 200))), min_size=1, max_size=4),
    last=states,
    idempotent=st.booleans(),
    on_leave=st.sampled_from(["archive", "clear"]),
)
def test_after_any_crashes_the_links_are_those_of_the_model(
    history: list[tuple[State, int | None]], last: State, idempotent: bool, on_leave: str
) -> None:
    bench = two(idempotent=idempotent, on_leave=on_leave)
    for state, crash_at in history:
        run(bench, state, crash_at)
    assert run(bench, last, None)
    if on_leave == "archive":
        assert bench.linked() == wanted(last)
    else:
        assert len(bench.destination.links) == len(wanted(last))
    bench.sent_links()
    assert run(bench, last, None)
    assert bench.sent_links() == []
    assert bench.rows("SELECT count(*) FROM revetl.links__fake__contacts WHERE state <> 'linked'") == [(0,)]
    bench.warehouse.close()


def test_a_crash_at_any_step_of_the_links() -> None:
    """Everybody changes firm; the process dies while links are sent; the change is taken back before the next run."""
    first: State = ({"ann": "acme", "bob": "bolt", "cid": None}, set(COMPANIES))
    second: State = ({"ann": "bolt", "bob": None, "cid": "acme"}, set(COMPANIES))
    crash_at, ended = None, False
    while not ended:
        bench = two(idempotent=True, on_leave="archive")
        assert run(bench, first, None)
        if crash_at is None:
            crash_at = first_link_step(bench, second) - 5
        ended = run(bench, second, crash_at)
        assert run(bench, first, None)
        assert bench.linked() == wanted(first), f"crash at step {crash_at}"
        bench.warehouse.close()
        crash_at += STRIDE


def first_link_step(bench: Two, state: State) -> int:
    """The step at which a run towards this state sends its first links; the run dies there."""
    steps: list[int] = []

    def die(fuse: Fuse) -> None:
        steps.append(fuse.step)
        raise Crash

    assert not run(bench, state, None, at_link=die)
    return steps[0]
