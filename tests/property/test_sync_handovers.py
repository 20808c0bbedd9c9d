"""Random hand-overs of unique values among a few records, with the process dying at any statement or request in
between: the destination comes to equal the model, and no record is given to another key while its own is in the model.

The oracle is a dictionary, and the destination refuses a value that another of its records has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from revetl.model import Change, Guardrails
from revetl.sync.plan.handover_order import Arrangement, Hold, Want, arrange
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.sync_bench import Bench

EXAMPLES = int(os.environ.get("REVETL_EXAMPLES", "6"))
OFFSETS, STRIDE = (1 if EXAMPLES < 1000 else 48), 48

KEYS = ("1", "2", "3", "4")
VALUES = ("a@x.io", "b@x.io", "c@x.io", "d@x.io", "e@x.io")
State = dict[str, str]  # key → email, no email twice


@st.composite
def states(draw: st.DrawFn) -> State:
    """A partial permutation: any of the keys, each with a value of its own."""
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=len(KEYS)))
    values = draw(st.permutations(VALUES))
    return dict(zip(sorted(keys), values, strict=False))


class World:
    """A bench that watches whose record is whose."""

    def __init__(self, *, idempotent: bool = True, vacatable: bool = True, concurrency: int = 2) -> None:
        self.bench = Bench()
        self.bench.sync_as(guardrails=Guardrails(min_rows=0), mode="mirror", on_leave="archive")
        destination = self.bench.destination
        destination.unique, destination.vacatable = {"email"}, vacatable
        destination.idempotent_creates = idempotent
        destination.batch_rows, destination.concurrency = 2, concurrency
        self.owner: dict[str, str] = {}
        self.state: State = {}

    def run(self, state: State, crash_at: int | None = None) -> bool:
        """One run; True where it came to its end."""
        self.state = state
        self.bench.source([(key, email, f"name {key}", None) for key, email in sorted(state.items())])
        fuse = Fuse(crash_at)
        inner = self.bench.warehouse
        self.bench.warehouse = CrashingWarehouse(inner, fuse)

        def before(_: Sequence[Change]) -> None:
            fuse.tick()

        def after(_: Sequence[Change]) -> None:
            self.watch()
            fuse.tick()

        self.bench.destination.before_write, self.bench.destination.after_write = before, after
        try:
            self.bench.run(intent_rows=2)
        except Crash:
            return False
        finally:
            self.bench.warehouse = inner
        return True

    def dies(self, state: State, *, after_write: bool, emptied: bool) -> None:
        """A run whose process dies at its first write: before it was applied or after; `emptied`: at its second."""
        self.state = state
        self.bench.source([(key, email, f"name {key}", None) for key, email in sorted(state.items())])
        fuse, inner, seen = Fuse(), self.bench.warehouse, list[Sequence[Change]]()

        def die(changes: Sequence[Change]) -> None:
            seen.append(changes)
            fuse.dead = len(seen) > emptied
            fuse.tick()

        nothing: Callable[[Sequence[Change]], None] = lambda _: None  # noqa: E731
        self.bench.warehouse = CrashingWarehouse(inner, fuse)
        destination = self.bench.destination
        destination.before_write, destination.after_write = (nothing, die) if after_write else (die, nothing)
        with pytest.raises(Crash):
            self.bench.run(intent_rows=2)
        self.bench.warehouse = inner

    def watch(self) -> None:
        """A record goes over to another key only where its own has left the model."""
        for id_, record in self.bench.destination.records.items():
            name = str(record.get("firstname"))
            earlier = self.owner.setdefault(id_, name)
            assert name == earlier or earlier.removeprefix("name ") not in self.state, f"{earlier} became {name}"
            self.owner[id_] = name

    def settle(self, state: State) -> None:
        """Runs until nothing is left to do; what was refused for another's sake is tried again."""
        for _ in range(4):
            assert self.run(state)
            if self.stands() == state and not self.bench.plan().lines:
                return
            self.bench.warehouse.execute("DELETE FROM revetl.rejected__fake__contacts")
        raise AssertionError(f"{self.stands()} is not {state}")

    def stands(self) -> State:
        records = self.bench.destination.records.values()
        out = {str(r["firstname"]).removeprefix("name "): str(r.get("email")) for r in records}
        assert len(out) == len(records), f"a record stands twice: {records}"
        return out


@settings(
    max_examples=EXAMPLES, derandomize=EXAMPLES < 1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    history=st.lists(st.tuples(states(), st.one_of(st.none(), st.integers(1, 140))), min_size=1, max_size=4),
    last=states(),
    idempotent=st.booleans(),
    concurrency=st.integers(1, 2),
)
@example(
    history=[(dict(zip(KEYS, VALUES, strict=False)), None), (dict(zip(KEYS, VALUES[1:], strict=False)), 75)],
    last=dict(zip(KEYS, (VALUES[1], VALUES[0], VALUES[3], VALUES[2]), strict=True)),
    idempotent=True,
    concurrency=1,
)
@example(  # emptied, then to be deleted: nothing finds it but its id
    history=[
        ({"1": VALUES[0], "2": VALUES[1], "3": VALUES[3], "4": VALUES[2]}, None),
        ({"1": VALUES[0], "2": VALUES[1], "3": VALUES[2], "4": VALUES[3]}, 112),
        ({}, 115),
    ],
    last={"3": VALUES[2]},
    idempotent=False,
    concurrency=1,
)
@example(  # sent another value, then to be deleted: the value that it had finds it no more
    history=[
        ({"1": VALUES[0], "2": VALUES[2], "3": VALUES[1], "4": VALUES[3]}, None),
        ({"1": VALUES[0], "2": VALUES[1], "3": VALUES[2], "4": VALUES[3]}, 122),
        ({}, 115),
    ],
    last={"3": VALUES[4]},
    idempotent=False,
    concurrency=1,
)
@example(  # handed over, and the process dies before it is written: it is still the record of the key that left
    history=[({"2": VALUES[0]}, None), ({"1": VALUES[0]}, 76)],
    last={},
    idempotent=False,
    concurrency=1,
)
def test_after_any_crashes_every_record_has_its_value_and_is_its_own(
    history: list[tuple[State, int | None]], last: State, idempotent: bool, concurrency: int
) -> None:
    world = World(idempotent=idempotent, concurrency=concurrency)
    for state, crash_at in history:
        world.run(state, crash_at)
    world.settle(last)
    world.bench.warehouse.close()


@pytest.mark.parametrize("offset", range(0, STRIDE, STRIDE // OFFSETS))
def test_a_crash_at_any_step_of_a_circle_and_a_chain_heals(offset: int) -> None:
    first = dict(zip(KEYS, VALUES, strict=False))
    second = {"1": VALUES[1], "2": VALUES[0], "3": VALUES[3], "4": VALUES[4]}
    ended, crash_at = False, 1 + offset
    while not ended:
        for then in (second, first):  # done to its end, or changed back around the crash
            world = World(concurrency=1)
            assert world.run(first)
            ended = world.run(second, crash_at)
            world.settle(then)
            world.bench.warehouse.close()
        crash_at += STRIDE


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("last", [{}, {"1": VALUES[1]}, {"1": VALUES[0], "2": VALUES[1]}], ids=len)
def test_a_record_that_was_emptied_and_whose_delete_broke_off_is_known_by_its_id(last: State, applied: bool) -> None:
    world = World(idempotent=False, concurrency=1)
    destination = world.bench.destination
    assert world.run({"1": VALUES[0], "2": VALUES[1]})
    for state, dying in (({"1": VALUES[1], "2": VALUES[0]}, False), ({}, True)):
        world.dies(state, after_write=dying and applied, emptied=not dying)
    assert [r["email"] for r in destination.records.values()].count(None) == (0 if applied else 1)
    world.settle(last)
    world.bench.warehouse.close()


@pytest.mark.parametrize("order", [*permutations(VALUES[:4])], ids=lambda values: "".join(v[0] for v in values))
def test_every_permutation_is_done_in_one_run(order: tuple[str, ...]) -> None:
    world = World()
    world.run(dict(zip(KEYS, VALUES, strict=False)))
    wanted = dict(zip(KEYS, order, strict=True))
    world.run(wanted)
    assert world.stands() == wanted
    assert world.bench.plan().lines == 0
    world.bench.warehouse.close()


# --- the order alone: many lines, played through by hand


@st.composite
def moves(draw: st.DrawFn) -> tuple[list[Want], list[Hold]]:
    """Lines that each hold a value and want another, keep what they have, or leave; some are new."""
    many = draw(st.integers(1, 9))
    values = [f"v{n}" for n in range(many + 2)]
    wants, holds = [], []
    for n in range(many):
        key, what = f"k{n}", draw(st.sampled_from(("move", "move", "move", "keep", "leave", "new")))
        wanted = draw(st.sampled_from(values))
        if what in ("move", "new") and not (what == "move" and wanted == values[n]):
            wants.append(Want(n, key, "f", wanted, whole=what == "new"))
        if what != "new":
            gives = what == "leave" or (what == "move" and wanted != values[n])
            vacatable = what == "move" and draw(st.booleans())
            holds.append(Hold(key, "f", values[n], n if gives else None, what == "leave", vacatable))
    return wants, holds


@settings(max_examples=20 * EXAMPLES, derandomize=EXAMPLES < 1000, deadline=None)
@given(moves())
def test_played_in_its_order_nobody_takes_what_another_has(given_: tuple[list[Want], list[Hold]]) -> None:
    wants, holds = given_
    made = arrange(wants, holds)
    stands = {hold.value: hold.key for hold in holds}
    emptied = {ordinal for ordinal, _ in made.vacated}
    for hold in holds:
        if hold.leaves or hold.ordinal in emptied:
            del stands[hold.value]
    for want in _in_order(wants, made):
        assert stands.get(want.value, want.key) == want.key, f"{want} before {stands[want.value]} gave it up"
        for value in [v for v, key in stands.items() if key == want.key]:
            del stands[value]
        stands[want.value] = want.key
    for want in wants:
        if (holder := made.withheld.get((want.ordinal, want.field))) is not None:
            assert stands.get(want.value) is not None or holder in {w.key for w in wants}
    # Nothing is withheld without a cause: somebody keeps a value, two want one, or a circle can't be broken.
    contested = len({w.value for w in wants}) < len(wants)
    if not contested and all(h.ordinal is not None and (h.vacatable or h.leaves) for h in holds):
        assert not made.withheld


def _in_order(wants: Sequence[Want], made: Arrangement) -> Iterator[Want]:
    """Wave by wave; inside one wave nothing may depend on the order, so it is turned round."""
    due = [want for want in wants if (want.ordinal, want.field) not in made.withheld]
    yield from sorted(due, key=lambda want: (made.waves.get(want.ordinal, 0), -want.ordinal))


def test_a_long_circle_needs_one_record_emptied() -> None:
    many = 20_000
    wants = [Want(n, f"k{n}", "f", f"v{(n + 1) % many}") for n in range(many)]
    holds = [Hold(f"k{n}", "f", f"v{n}", n, vacatable=True) for n in range(many)]
    made = arrange(wants, holds)
    assert (len(made.vacated), len(made.handovers), max(made.waves.values())) == (1, many, many - 1)
