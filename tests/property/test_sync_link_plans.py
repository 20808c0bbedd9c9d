"""Random histories of who belongs to which firm, of keys that change, and of people who tie, untie and merge records:
what the plans of both syncs count is what their runs then do."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.property.test_sync_links import COMPANIES, EXAMPLES, PEOPLE, two
from tests.unit.test_sync_links import DDL, FIRMS, Two

# What a person does: to the link of a person to a firm, or to a record.
acts = st.tuples(
    st.sampled_from(["tie", "untie", "merge person", "merge firm", "new key", "make"]),
    st.sampled_from(PEOPLE),
    st.sampled_from(COMPANIES),
)
belongs = st.dictionaries(st.sampled_from(PEOPLE), st.sampled_from([None, *COMPANIES, "nowhere"]))
steps = st.tuples(st.lists(acts, max_size=2), belongs, st.sets(st.sampled_from(COMPANIES)))
Step = tuple[list[tuple[str, str, str]], dict[str, str | None], set[str]]
_COUNTS = ("linked", "unlinked", "links_matched", "links_kept")


def act(bench: Two, keys: dict[str, str], what: str, person: str, firm: str) -> None:
    there = bench.destination
    ids = {str(r.get("email") or r.get("domain")): i for i, r in there.records.items()}
    ours, theirs = ids.get(f"{person}@x.io"), ids.get(f"{firm}.example")
    if what == "new key":
        keys[person] = f"{keys[person]}'"
    elif what == "make" and ours is None:
        there.make(email=f"{person}@x.io")
    elif what == "merge person" and ours is not None:
        there.merge(ours, there.make(email="somebody@else.io"))
    elif what == "merge firm" and theirs is not None:
        there.merge(theirs, there.make(domain="somebody.else"))
    elif ours is not None and theirs is not None and what in ("tie", "untie"):
        (there.links.add if what == "tie" else there.links.discard)((ours, theirs, 1))
    there.links = {(there.led(a), there.led(b), kind) for a, b, kind in there.links}


@settings(
    max_examples=EXAMPLES // 2, derandomize=EXAMPLES < 1000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(history=st.lists(steps, min_size=1, max_size=3), on_leave=st.sampled_from(["archive", "clear"]))
@example(
    history=[
        ([], {"ann": "acme", "bob": "bolt"}, set(COMPANIES)),
        ([("merge firm", "ann", "bolt"), ("new key", "bob", "bolt")], {"ann": "bolt", "bob": "bolt"}, {"bolt"}),
        ([("make", "cid", "acme"), ("merge person", "ann", "acme")], {"ann": None, "cid": "bolt"}, set(COMPANIES)),
    ],
    on_leave="archive",
)
def test_the_plans_count_what_their_runs_do(history: list[Step], on_leave: str) -> None:
    bench = two(idempotent=True, on_leave=on_leave)
    keys = {person: person for person in PEOPLE}
    for did, firm_of, firms in history:
        for what, person, firm in did:
            act(bench, keys, what, person, firm)
        bench.source([(keys[p], f"{p}@x.io", firm) for p, firm in firm_of.items()], DDL)
        bench.firms(*firms)
        contacts, bench.spec = bench.spec, FIRMS
        bench.plan()
        bench.spec = contacts
        planned = bench.plan()
        bench.run_firms()
        report = bench.run()
        links = planned.links
        counted = dict(zip(_COUNTS, (links.link, links.unlink, links.standing, links.kept), strict=True))
        did_: dict[str, Any] = {name: report.counts.get(name, 0) for name in _COUNTS}
        assert (counted, links.waiting) == (did_, report.links_waiting)
    bench.warehouse.close()
