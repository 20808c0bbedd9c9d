"""Random options of people and of ours on one multi-select field: after each run there stands what stood, less ours
that we want no more, with ours. The oracle is a set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revetl.state import outcomes
from tests.property.test_sync_links import EXAMPLES
from tests.support.sync_bench import Bench, drift
from tests.unit.test_sync_multi_select import COLOURS, ColourFake, kept, ours, undo

sets = st.frozensets(st.sampled_from(COLOURS.options))


@dataclass(frozen=True)
class Step:
    """A person sets `theirs` where it is not None; then our model says `wanted` and a run of this kind follows."""

    theirs: frozenset[str] | None
    wanted: frozenset[str]
    kind: Literal["run", "full", "doubt", "rollback"]


steps = st.builds(
    Step, st.one_of(st.none(), sets), sets, st.sampled_from(["run", "run", "run", "full", "doubt", "rollback"])
)


def text(options: frozenset[str] | set[str]) -> str | None:
    return ";".join(sorted(options)) or None


def options(value: object) -> set[str]:
    return set(str(value or "").split(";")) - {""}


@dataclass
class World:
    bench: Bench
    stands: set[str]
    sent: set[str] = field(default_factory=set)
    waits: frozenset[str] | None = None  # was rolled back: not sent before the row is another one

    @property
    def record(self) -> dict[str, object]:
        [record] = self.bench.destination.records.values()
        return record  # type: ignore[return-value]

    def step(self, step: Step) -> None:
        if step.theirs is not None:
            self.record["city"] = text(step.theirs)
            self.stands = set(step.theirs)
        assert bool(drift(self.bench).fields) == bool(self.sent - self.stands)
        if step.wanted == self.waits:
            return
        before, last = set(self.stands), set(self.sent)
        ours(self.bench, text(step.wanted))
        if step.kind == "doubt":
            self.bench.warehouse.execute("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL")
        report = self.bench.run(full_refresh=step.kind == "full")
        if step.wanted != last or step.kind in ("full", "doubt"):
            self.stands = (before - (last - step.wanted)) | step.wanted
        self.sent, self.waits = set(step.wanted), None
        after = set(self.stands)
        self.check()
        assert self.bench.plan().changes == 0
        wrote = [o for o in outcomes.of_run(self.bench.warehouse, report.run_id) if "city" in o.changed_fields]
        if step.kind == "rollback" and wrote:
            undo(self.bench, report.run_id)
            self.stands, self.waits = before, step.wanted
            self.sent = (set(step.wanted) - (after - before)) | (before - after)
            self.check()

    def check(self) -> None:
        assert options(self.record.get("city")) == self.stands
        assert options(kept(self.bench)) == self.sent


@settings(
    max_examples=EXAMPLES, derandomize=EXAMPLES < 1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.one_of(st.none(), sets), sets, st.lists(steps, max_size=5))
def test_options_of_people_stay(adopted: frozenset[str] | None, first: frozenset[str], then: list[Step]) -> None:
    bench = Bench(destination=ColourFake(described={"city": COLOURS}))
    if adopted is not None:
        bench.destination.make(email="ann@x.io", firstname="Ann", city=text(adopted))
    ours(bench, text(first))
    bench.run()
    world = World(bench, set(first | (adopted or set())), set(first))
    world.check()
    for step in then:
        world.step(step)
