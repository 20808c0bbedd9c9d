"""Random people who link, label and take labels off beside us, between runs that may die at any statement or request:
after one run that ends, what people made still stands, what the model wants stands, and of ours nothing else is left.
The oracle is a set of (person, firm, kind)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revetl.model import Association, Guardrails
from tests.property.test_sync_links import COMPANIES, EXAMPLES, PEOPLE, run
from tests.unit.test_sync_links import Two

PRIMARY, LABEL, PLAIN = 1, 77, 279
Link = tuple[str, str, int]


@dataclass(frozen=True)
class Act:
    """What a person does: puts a kind of link on a pair, or takes their label off it."""

    what: Literal["put", "take"]
    person: str
    firm: str
    kind: int


acts = st.builds(
    Act,
    st.sampled_from(["put", "put", "take"]),
    st.sampled_from(PEOPLE),
    st.sampled_from(COMPANIES),
    st.sampled_from([PRIMARY, LABEL, PLAIN]),
)
belongs = st.fixed_dictionaries({person: st.sampled_from([None, *COMPANIES]) for person in PEOPLE})
steps = st.tuples(st.lists(acts, max_size=3), belongs, st.one_of(st.none(), st.none(), st.integers(1, 200)))


@dataclass
class World:
    """`ours`: the kind that the model wants. `doubtful`: a run died, so that we can't know of a kind that we were about
    to make whether we made it."""

    bench: Two
    ours: int
    theirs: set[Link] = field(default_factory=set)
    doubtful: bool = False
    died: bool = False

    def ids(self, person: str, firm: str) -> tuple[str, str] | None:
        by_name = {str(r.get("email") or r.get("domain")): i for i, r in self.bench.destination.records.items()}
        a, b = by_name.get(f"{person}@x.io"), by_name.get(f"{firm}.example")
        return None if a is None or b is None else (a, b)

    def stands(self, person: str, firm: str) -> set[int]:
        pair = self.ids(person, firm)
        return {kind for a, b, kind in self.bench.destination.links if (a, b) == pair}

    def act(self, act: Act) -> None:
        pair = self.ids(act.person, act.firm)
        if pair is None:
            return
        links, before = self.bench.destination.links, self.stands(act.person, act.firm)
        if act.what == "put":
            if self.doubtful and act.kind == self.ours:
                return
            links |= {(*pair, kind) for kind in (act.kind, PLAIN)}
            self.theirs |= {(act.person, act.firm, kind) for kind in {act.kind, PLAIN} - before}
        elif (act.person, act.firm, LABEL) in self.theirs:
            self.theirs.discard((act.person, act.firm, LABEL))
            links.discard((*pair, LABEL))
            if before - {LABEL} == {PLAIN}:  # whoever takes a label off leaves the link
                self.theirs.add((act.person, act.firm, PLAIN))

    def check(self, firm_of: dict[str, str | None]) -> None:
        for person in PEOPLE:
            for firm in COMPANIES:
                stands = self.stands(person, firm)
                theirs = {kind for p, f, kind in self.theirs if (p, f) == (person, firm)}
                assert theirs <= stands, "what people made was removed"
                if firm_of[person] == firm:
                    assert self.ours in stands
                    continue
                leans = {PLAIN} if theirs or self.died else set()
                assert stands <= theirs | leans, "a link of ours is left"
                self.theirs |= {(person, firm, kind) for kind in stands}


@settings(
    max_examples=max(EXAMPLES, 6),
    derandomize=EXAMPLES < 1000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(history=st.lists(steps, min_size=1, max_size=5), last=belongs, kind=st.sampled_from([PRIMARY, PLAIN]))
def test_what_people_made_stands_and_of_ours_only_what_the_model_wants(
    history: list[tuple[list[Act], dict[str, str | None], int | None]], last: dict[str, str | None], kind: int
) -> None:
    bench = Two()
    bench.destination.fields = ("email", "domain")
    bench.destination.types, bench.destination.implied = frozenset({PRIMARY, LABEL, PLAIN}), PLAIN
    bench.sync_as(
        columns=("golden_id", "email", "firm_id"),
        associate=(Association("fake__firms", "firm_id", kind, "firms"),),
        guardrails=Guardrails(min_rows=0),
    )
    world = World(bench, kind)
    for did, firm_of, crash_at in [*history, ([], last, None)]:
        for act in did:
            world.act(act)
        ended = run(bench, (firm_of, set(COMPANIES)), crash_at)
        world.doubtful, world.died = not ended, world.died or not ended
        if ended:
            world.check(firm_of)
    bench.sent_links()
    assert run(bench, (last, set(COMPANIES)), None)
    assert bench.sent_links() == []
    bench.warehouse.close()
