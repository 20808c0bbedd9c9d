"""Links between the records of two syncs: order, changes, refusals, crashes. The destination is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from revetl.clock import LoopClock
from revetl.destinations.base import Pair
from revetl.errors import Ambiguous, ConfigError, Denied, GuardrailError, Rejected
from revetl.model import Association, Guardrails, Relation, Scalar, SyncSpec
from revetl.state import outcomes
from revetl.state.runs import get_run, list_runs
from revetl.state.sync_tables import resolve
from revetl.sync import SyncReport
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.links import refused as refused_links
from revetl.sync.rollback.rolling_back import roll_back
from tests.support.sync_bench import Bench, drift
from tests.support.warehouses import SCHEMA

FIRMS = SyncSpec(
    name="fake__firms",
    relation=Relation(SCHEMA, "firms"),
    destination="fake",
    object="firms",
    key="golden_id",
    match_on="domain",
    columns=("golden_id", "domain"),
    mode="mirror",
    on_leave="archive",
    guardrails=Guardrails(min_rows=0),
)
DDL = "golden_id VARCHAR, email VARCHAR, firm_id VARCHAR"


class Two(Bench):
    """Contacts that belong to firms."""

    def people(self, **firm_of: str | None) -> None:
        self.source([(key, f"{key}@x.io", firm) for key, firm in firm_of.items()], DDL)

    def firms(self, *keys: str) -> None:
        self.warehouse.execute("DROP TABLE IF EXISTS firms")
        self.warehouse.execute("CREATE TABLE firms (golden_id VARCHAR, domain VARCHAR)")
        for key in keys:
            self.warehouse.execute("INSERT INTO firms VALUES (?, ?)", [key, f"{key}.example"])

    def run_firms(self) -> SyncReport:
        contacts, self.spec = self.spec, FIRMS
        try:
            return self.run()
        finally:
            self.spec = contacts

    def linked(self) -> list[tuple[str, str]]:
        """(contact, firm) by name, as the destination has them."""
        records = self.destination.records
        return sorted(
            (str(records[a]["email"]).split("@")[0], str(records[b]["domain"]).split(".")[0])
            for a, b, _ in self.destination.links
        )

    def sent_links(self) -> list[tuple[str, str, str]]:
        """(op, contact, firm) of all that was sent since the last call."""
        sent, self.destination.linked = self.destination.linked, []
        return sent


@pytest.fixture
def bench() -> Two:
    b = Two()
    b.destination.fields = ("email", "domain")
    b.sync_as(
        columns=("golden_id", "email", "firm_id"),
        associate=(Association("fake__firms", "firm_id", 1, "firms"),),
        guardrails=Guardrails(min_rows=0),
    )
    b.firms("acme", "bolt")
    b.people(ann="acme", bob="bolt", cid=None)
    return b


def test_links_are_made_once_and_only_where_both_are_there(bench: Two) -> None:
    report = bench.run()
    assert (report.counts, report.links_waiting, bench.linked()) == ({"ok": 3}, 2, [])
    bench.run_firms()
    report = bench.run()
    assert (report.counts, report.links_waiting, report.exit_code) == ({"linked": 2}, 0, 0)
    assert bench.linked() == [("ann", "acme"), ("bob", "bolt")]
    bench.sent_links()
    again = bench.run()
    assert (bench.sent_links(), again.counts) == ([], {})
    found = outcomes.of_run(bench.warehouse, report.run_id)
    assert [(o.op, o.key, o.status, o.after) for o in found] == [
        ("link", "ann", "ok", {"fake__firms": "acme"}),
        ("link", "bob", "ok", {"fake__firms": "bolt"}),
    ]
    assert list_runs(bench.warehouse, 2)[1].counts == {"linked": 2}


def test_a_changed_company_unlinks_first_and_a_null_unlinks(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    bench.sent_links()
    bench.people(ann="bolt", bob=None, cid="acme")
    plan = bench.plan()
    assert (plan.links.link, plan.links.unlink, plan.links.waiting, plan.changes) == (2, 2, 0, 0)
    report = bench.run()
    assert report.counts == {"linked": 2, "unlinked": 2}
    assert [op for op, _, _ in bench.sent_links()] == ["unlink", "unlink", "link", "link"]
    assert bench.linked() == [("ann", "bolt"), ("cid", "acme")]
    bench.sent_links()
    assert (bench.run().counts, bench.sent_links()) == ({}, []), "what was unlinked is not unlinked again"


def test_links_of_people_are_left_alone(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    ids = {str(r.get("email") or r.get("domain")): i for i, r in bench.destination.records.items()}
    by_hand = (ids["ann@x.io"], ids["bolt.example"], 279)
    bench.destination.links.add(by_hand)
    bench.people(ann=None, bob="bolt", cid=None)
    bench.run()
    assert by_hand in bench.destination.links
    assert bench.linked() == [("ann", "bolt"), ("bob", "bolt")]


def test_the_plan_counts_links_of_records_that_it_creates(bench: Two) -> None:
    bench.people(ann="acme", bob="nowhere", cid=None)
    assert bench.plan().links.waiting == 2
    bench.run_firms()
    links_ = bench.plan().links
    assert (links_.link, links_.unlink, links_.waiting) == (1, 0, 1)
    assert bench.sent_links() == []


def test_the_plan_counts_links_of_records_that_it_adopts(bench: Two) -> None:
    """A CRM that is full: ann stands there otherwise, bob as the model has him; the firms stand there too."""
    bench.destination.fields = ("email", "domain", "city")
    bench.destination.records |= {
        "7": {"email": "ann@x.io", "city": None},
        "8": {"email": "bob@x.io", "city": None},
        "9": {"domain": "acme.example", "city": None},
    }
    bench.run_firms()
    plan = bench.plan()
    assert (plan.adopt + plan.matched, plan.links.link, plan.links.waiting) == (2, 2, 0)
    assert bench.run().counts["linked"] == 2


def test_the_plan_counts_the_link_of_a_record_that_was_refused_and_changed_since(bench: Two) -> None:
    bench.run_firms()
    bench.source([("ann", None, "acme")], DDL)
    assert bench.run().plan.reasons == {"NO_IDENTITY": 1}
    assert bench.plan().links.waiting == 1
    bench.people(ann="acme")
    links_ = bench.plan().links
    assert (links_.link, links_.waiting) == (1, 0)


def test_blanks_name_no_company(bench: Two) -> None:
    bench.run_firms()
    bench.people(ann="  ", bob="", cid=None)
    plan = bench.plan()
    assert (plan.links.link, plan.links.waiting) == (0, 0)


def test_the_old_link_stands_until_the_new_company_is_there(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    bench.people(ann="later", bob="bolt", cid=None)
    plan = bench.plan()
    assert (plan.links.unlink, plan.links.waiting) == (0, 1)
    report = bench.run()
    assert (bench.linked(), report.links_waiting) == ([("ann", "acme"), ("bob", "bolt")], 1)
    bench.firms("acme", "bolt", "later")
    bench.run_firms()
    plan = bench.plan()
    assert (plan.links.link, plan.links.unlink, plan.links.waiting) == (1, 1, 0)
    bench.run()
    assert bench.linked() == [("ann", "later"), ("bob", "bolt")]


def test_a_record_that_is_made_anew_is_tied_anew(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    bench.firms("bolt")
    bench.run_firms()
    assert bench.linked() == [("bob", "bolt")], "the destination drops the links of what is archived"
    assert bench.run().links_waiting == 1
    assert bench.rows("SELECT key FROM revetl.links__fake__contacts") == [("bob",)]
    bench.firms("acme", "bolt")
    bench.run_firms()
    bench.sent_links()
    bench.run()
    assert [op for op, _, _ in bench.sent_links()] == ["link"]
    assert bench.linked() == [("ann", "acme"), ("bob", "bolt")]


def test_an_inherited_record_keeps_its_links(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    bench.sent_links()
    bench.source([("ann2", "ann@x.io", "acme"), ("bob", "bob@x.io", "bolt")], DDL)
    report = bench.run()
    assert (report.counts, bench.sent_links()) == ({"ok": 1}, []), "the same record under a new key, linked already"
    bench.source([("ann2", "ann@x.io", "bolt"), ("bob", "bob@x.io", "bolt")], DDL)
    bench.run()
    assert bench.linked() == [("ann", "bolt"), ("bob", "bolt")]


def test_who_leaves_keeps_the_links_unless_it_is_cleared(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    bench.people(bob="bolt")
    bench.run()
    assert bench.linked() == [("ann", "acme"), ("bob", "bolt")]
    bench.sync_as(mode="mirror", on_leave="clear")
    bench.run()
    assert len(bench.destination.links) == 1


def test_a_refused_link_costs_nobody_and_waits_for_a_retry(bench: Two) -> None:
    bench.run_firms()
    bench.destination.bad_links = {"101"}
    first = bench.run()
    assert (first.status, first.exit_code, first.counts) == ("partial", 1, {"ok": 3, "linked": 1, "links_rejected": 1})
    (refused,) = outcomes.of_run(bench.warehouse, first.run_id, statuses=["rejected"])
    assert (refused.op, refused.key, refused.error_code) == ("link", "ann", "OBJECT_NOT_FOUND")
    bench.sent_links()
    second = bench.run()
    assert (second.exit_code, [op for op, _, _ in bench.sent_links()]) == (1, ["link"]), "tried again while few wait"
    assert second.links_refused == {"OBJECT_NOT_FOUND": 1}
    bench.destination.bad_links = set()
    tables = resolve(bench.warehouse, bench.spec)
    assert refused_links.release(tables, ["bob"]) == 0
    assert refused_links.release(tables) == 1
    assert bench.run().counts == {"linked": 1}


def test_insert_ties_who_has_no_link_and_never_changes_one(bench: Two) -> None:
    bench.sync_as(mode="insert")
    bench.run_firms()
    bench.run()
    bench.people(ann="bolt", bob=None, cid="acme", dan="acme")
    bench.run()
    assert bench.linked() == [("ann", "acme"), ("bob", "bolt"), ("cid", "acme"), ("dan", "acme")]


def test_two_kinds_of_link_to_one_record(bench: Two) -> None:
    bench.sync_as(
        columns=("golden_id", "email", "firm_id", "partner_id"),
        associate=(
            Association("fake__firms", "firm_id", 1, "firms"),
            Association("fake__firms", "partner_id", 279, "firms"),
        ),
    )
    ddl = "golden_id VARCHAR, email VARCHAR, firm_id VARCHAR, partner_id VARCHAR"
    bench.run_firms()
    bench.source([("ann", "ann@x.io", "acme", "acme")], ddl)
    assert bench.run().counts == {"ok": 1, "linked": 2}
    bench.sent_links()
    bench.source([("ann", "ann@x.io", None, "acme")], ddl)
    bench.run()
    assert [op for op, _, _ in bench.sent_links()] == ["unlink"], "only the kind that is wanted no more"
    assert {kind for _, _, kind in bench.destination.links} == {279}
    assert bench.rows("SELECT type FROM revetl.links__fake__contacts") == [(279,)]


def test_an_answer_that_is_lost_is_asked_again(bench: Two) -> None:
    bench.run_firms()

    def lose(_: Sequence[Pair]) -> None:
        raise Ambiguous("the connection broke")

    bench.destination.after_link = lose
    report = bench.run()
    assert (report.status, report.links_not_sent) == ("failed", 2)
    bench.destination.after_link = lambda _: None
    assert bench.run().counts == {"linked": 2}
    assert bench.linked() == [("ann", "acme"), ("bob", "bolt")]


def test_a_call_that_is_refused_whole_costs_only_the_pair_that_it_is_about(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    bad = str(bench.rows("SELECT destination_id FROM revetl.snapshot__fake__contacts WHERE key = 'ann'")[0][0])
    bench.people(ann="bolt", bob="acme", cid="acme")

    def refuse(pairs: Sequence[Pair]) -> None:
        if any(p.from_id == bad for p in pairs):
            raise Rejected("one of these pairs is not allowed", code="NOT_ALLOWED")

    bench.destination.before_link = refuse
    report = bench.run()
    assert (report.status, report.exit_code) == ("partial", 1)
    assert report.counts["links_rejected"] >= 1
    assert {("bob", "acme"), ("cid", "acme")} <= set(bench.linked())


def test_what_other_batches_answered_is_kept_where_a_connector_fails(bench: Two) -> None:
    bench.run_firms()

    def fail(_: Sequence[Pair]) -> None:
        raise ZeroDivisionError("a mistake of the connector")

    bench.destination.before_link = fail
    report = bench.run()
    assert (report.status, report.exit_code) == ("failed", 1)
    bench.destination.before_link = lambda _: None
    assert bench.run().counts == {"linked": 2}


def test_one_link_without_an_answer_is_in_doubt_and_sent_again(bench: Two) -> None:
    bench.run_firms()
    bench.destination.answer = lambda outcomes: outcomes if len(outcomes) != 2 else outcomes[:1]
    report = bench.run()
    assert (report.status, report.exit_code) == ("partial", 1)
    assert report.counts == {"ok": 3, "linked": 1, "links_unknown": 1}
    assert bench.rows("SELECT key, state FROM revetl.links__fake__contacts ORDER BY key") == [
        ("ann", "linked"),
        ("bob", "linking"),
    ]
    bench.destination.answer = lambda outcomes: outcomes
    assert bench.run().counts == {"linked": 1}
    assert bench.linked() == [("ann", "acme"), ("bob", "bolt")]


def test_a_destination_that_refuses_ends_the_run_and_nothing_is_lost(bench: Two) -> None:
    bench.run_firms()

    def refuse(_: Sequence[Pair]) -> None:
        raise Denied("no scope for associations")

    bench.destination.before_link = refuse
    report = bench.run()
    assert (report.status, report.exit_code, report.counts) == ("failed", 4, {"ok": 3})
    bench.destination.before_link = lambda _: None
    bench.people(ann="bolt", bob="bolt", cid=None)
    bench.run()
    assert bench.linked() == [("ann", "bolt"), ("bob", "bolt")]


def test_a_stop_sends_no_more_links(bench: Two) -> None:
    bench.run_firms()
    bench.run(stop_event=None)
    bench.people(ann="bolt", bob="acme", cid=None)
    stop = asyncio.Event()
    stop.set()
    report = bench.run(stop_event=stop)
    assert (report.status, report.links_not_sent) == ("interrupted", 4)
    bench.run()
    assert bench.linked() == [("ann", "bolt"), ("bob", "acme")]


def test_a_model_that_would_unlink_everything_is_stopped(bench: Two) -> None:
    bench.sync_as(guardrails=Guardrails(max_deleted_share=0.5))
    bench.run_firms()
    bench.run()
    bench.people(ann=None, bob=None, cid=None)
    with pytest.raises(GuardrailError, match=r"2 of 2 links \(100%\) would be removed"):
        bench.run()
    assert len(bench.destination.links) == 2
    assert bench.run(allow=["deleted"]).counts == {"unlinked": 2}


def test_a_kind_that_the_destination_does_not_have_is_named(bench: Two) -> None:
    bench.run_firms()
    bench.destination.types = frozenset({279})
    with pytest.raises(ConfigError, match=r"fake__contacts\.yml: associate to fake__firms: .* type 1 .*\n.*279"):
        bench.plan()


def test_a_full_refresh_makes_every_link_again(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    bench.sent_links()
    bench.destination.links.clear()
    assert bench.plan(full_refresh=True).links.link == 2
    assert bench.plan().links.link == 0, "planning changes nothing"
    bench.run(full_refresh=True)
    assert bench.linked() == [("ann", "acme"), ("bob", "bolt")]


def test_many_links_go_in_chunks(bench: Two) -> None:
    values: list[tuple[Scalar, ...]] = [(f"p{n}", f"p{n}@x.io", "acme" if n % 3 else "bolt") for n in range(30)]
    bench.source(values, DDL)
    bench.run_firms()
    bench.destination.batch_rows = 30
    bench.sync_as(guardrails=replace(bench.spec.guardrails))
    assert bench.run().counts == {"ok": 30, "linked": 30}
    assert len(bench.linked()) == 30


def test_undoing_a_run_leaves_its_links(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    bench.source([("ann", "ann@y.io", "bolt"), ("bob", "bob@x.io", "bolt")], DDL)
    spoiled = get_run(bench.warehouse, bench.run().run_id)
    assert spoiled is not None
    report = asyncio.run(roll_back(bench.context(command="rollback"), bench.spec, bench.destination, spoiled))
    assert report.error is None
    assert bench.linked() == [("ann", "bolt"), ("bob", "bolt")]
    assert "ann@x.io" in {r.get("email") for r in bench.destination.records.values()}


def unlinked_by_a_person(bench: Two) -> None:
    """ann's link to acme; bob's stays, and a person's own link is none of ours."""
    bench.run_firms()
    bench.run()
    bench.sent_links()
    ids = {str(r.get("email") or r.get("domain")): i for i, r in bench.destination.records.items()}
    bench.destination.links.discard((ids["ann@x.io"], ids["acme.example"], 1))
    bench.destination.links.add((ids["cid@x.io"], ids["bolt.example"], 279))


def test_a_link_that_a_person_removed_is_drift_and_made_again_when_reasserted(bench: Two) -> None:
    unlinked_by_a_person(bench)
    report = drift(bench)
    assert (report.links, report.drifted, report.records) == (2, 1, {"untied": 1})
    assert [(s["key"], s["ours_last"]) for s in report.samples] == [("ann", "fake__firms: acme")]
    assert (bench.run().counts, bench.sent_links()) == ({}, []), "a sync compares with what it made"
    assert drift(bench, DriftResolution("reassert", ("email",))).links_resolved == 0, "a field is not a link"
    assert drift(bench, DriftResolution("reassert", None)).links_resolved == 1
    assert list_runs(bench.warehouse, 1)[0].counts == {"reasserted": 0, "links_reasserted": 1}
    assert bench.run().counts == {"linked": 1}
    assert drift(bench).drifted == 0


def test_a_link_that_stays_unlinked_is_made_again_only_by_name(bench: Two) -> None:
    unlinked_by_a_person(bench)
    assert drift(bench, DriftResolution("accept", None)).links_resolved == 1
    assert drift(bench).drifted == 0
    assert (bench.run().counts, bench.plan(full_refresh=True).links.link) == ({}, 1)
    tables = resolve(bench.warehouse, bench.spec)
    assert refused_links.release(tables) == 0, "retry of all that was refused"
    bench.people(ann="bolt", bob="bolt", cid=None)
    assert bench.run().counts == {"linked": 1}, "nothing to unlink"
    bench.people(ann="acme", bob="bolt", cid=None)
    assert bench.run().counts == {"linked": 1, "unlinked": 1}, "the acceptance went with the pair"


def test_the_links_of_a_record_that_is_gone_are_not_told_apart_from_it(bench: Two) -> None:
    unlinked_by_a_person(bench)
    (ann,) = (i for i, r in bench.destination.records.items() if r.get("email") == "ann@x.io")
    del bench.destination.records[ann]
    report = drift(bench)
    assert (report.links, report.records) == (1, {"missing": 1})


def test_accepted_links_are_retried_by_name(bench: Two) -> None:
    unlinked_by_a_person(bench)
    drift(bench, DriftResolution("accept", None))
    assert refused_links.release(resolve(bench.warehouse, bench.spec), ["ann"]) == 1
    assert bench.run().counts == {"linked": 1}


def ids_of(bench: Two) -> dict[str, str]:
    """Email or domain → id there."""
    return {str(r.get("email") or r.get("domain")): i for i, r in bench.destination.records.items()}


def stands(bench: Two, person: str, firm: str) -> set[int]:
    """The kinds of link between the two."""
    ids = ids_of(bench)
    pair = (ids[f"{person}@x.io"], ids[f"{firm}.example"])
    return {kind for a, b, kind in bench.destination.links if (a, b) == pair}


def people_link(bench: Two, person: str, firm: str, *kinds: int) -> None:
    ids = ids_of(bench)
    bench.destination.links |= {(ids[f"{person}@x.io"], ids[f"{firm}.example"], kind) for kind in kinds}


def made_beside(bench: Two, *kinds: int) -> None:
    """ann, bob and the firms stand there, and a person tied ann to acme before us; then our first run."""
    bench.destination.implied, bench.destination.types = 279, frozenset({1, 77, 279})
    bench.destination.records |= {"7": {"email": "ann@x.io"}, "9": {"domain": "acme.example"}}
    people_link(bench, "ann", "acme", *kinds)
    bench.run_firms()
    bench.run()


def test_a_persons_link_stays_where_we_added_our_kind_to_it(bench: Two) -> None:
    made_beside(bench, 279)
    assert stands(bench, "ann", "acme") == {1, 279}
    bench.people(ann="bolt", bob="bolt", cid=None)
    assert bench.run().counts == {"linked": 1, "unlinked": 1}
    assert (stands(bench, "ann", "acme"), stands(bench, "ann", "bolt")) == ({279}, {1, 279})


def test_a_link_that_stood_before_us_is_known_and_left(bench: Two) -> None:
    made_beside(bench, 1, 279)
    run = list_runs(bench.warehouse, 1)[0]
    assert (run.counts["linked"], run.counts["links_matched"]) == (1, 1)
    assert bench.sent_links() == [("link", *ids_for(bench, "bob", "bolt"))], "nothing was sent for ann's"
    assert bench.rows("SELECT key, ours, alone FROM revetl.links__fake__contacts ORDER BY key") == [
        ("ann", False, False),
        ("bob", True, True),
    ]
    bench.people(ann=None, bob=None, cid=None)
    plan = bench.plan()
    assert (plan.links.unlink, plan.links.link) == (1, 0)
    assert bench.run().counts == {"unlinked": 1}
    assert (stands(bench, "ann", "acme"), stands(bench, "bob", "bolt")) == ({1, 279}, set())
    assert (bench.run().counts, bench.plan().links.changes) == ({}, 0)


def ids_for(bench: Two, person: str, firm: str) -> tuple[str, str]:
    ids = ids_of(bench)
    return ids[f"{person}@x.io"], ids[f"{firm}.example"]


@pytest.mark.parametrize(("kind", "left"), [(1, {77, 279}), (279, {77, 279})])
def test_a_label_that_a_person_put_on_our_link_keeps_it(bench: Two, kind: int, left: set[int]) -> None:
    bench.sync_as(associate=(Association("fake__firms", "firm_id", kind, "firms"),))
    made_beside(bench)
    people_link(bench, "ann", "acme", 77)
    bench.people(ann=None, bob="bolt", cid=None)
    bench.run()
    assert stands(bench, "ann", "acme") == left
    bench.people(ann="acme", bob="bolt", cid=None)
    bench.run()
    bench.people(ann=None, bob="bolt", cid=None)
    bench.run()
    assert stands(bench, "ann", "acme") == left, "also when we tied them once more"


@pytest.mark.parametrize("first", [1, 279])
def test_of_two_kinds_of_ours_the_last_takes_along_what_they_brought(bench: Two, first: int) -> None:
    """The kinds are made in two runs and removed in two: nothing of them is left."""
    kinds = {"firm_id": 1, "partner_id": 279}
    bench.sync_as(
        columns=("golden_id", "email", *kinds),
        associate=tuple(Association("fake__firms", by, kind, "firms") for by, kind in kinds.items()),
    )
    bench.destination.implied = 279
    bench.run_firms()
    ddl = "golden_id VARCHAR, email VARCHAR, firm_id VARCHAR, partner_id VARCHAR"
    one, other = ("acme", None) if first == 1 else (None, "acme"), ("acme", "acme")
    for firm, partner in (one, other, one, (None, None)):
        bench.source([("ann", "ann@x.io", firm, partner)], ddl)
        bench.run()
        wanted = ({1} if firm else set()) | ({279} if firm or partner else set())
        assert stands(bench, "ann", "acme") == wanted
    assert bench.rows("SELECT count(*) FROM revetl.links__fake__contacts") == [(0,)]


def test_rows_of_an_earlier_version_lose_our_kind_and_no_more(bench: Two) -> None:
    made_beside(bench)
    for column in ("ours", "alone", "error_code", "in_row", "tries", "next_try"):
        bench.warehouse.execute(f"ALTER TABLE revetl.links__fake__contacts DROP COLUMN {column}")
    bench.people(ann="bolt", bob="bolt", cid=None)
    assert bench.run().counts == {"linked": 1, "unlinked": 1}
    assert stands(bench, "ann", "acme") == {279}


def test_our_link_goes_along_where_its_record_was_merged(bench: Two) -> None:
    made_beside(bench)
    other = bench.destination.make(email="annie@x.io")
    bench.destination.merge(ids_of(bench)["ann@x.io"], other)
    bench.destination.links = {(bench.destination.led(a), b, kind) for a, b, kind in bench.destination.links}
    bench.source([("ann", "ann@y.io", "acme"), ("bob", "bob@x.io", "bolt")], DDL)
    bench.run()
    bench.source([("ann", "ann@y.io", "bolt"), ("bob", "bob@x.io", "bolt")], DDL)
    bench.run()
    ids = ids_of(bench)
    kinds = {kind for a, b, kind in bench.destination.links if (a, b) == (ids["ann@y.io"], ids["acme.example"])}
    assert kinds == {279}, "our kind is gone; whose the plain link is nobody can tell after a merge"


def test_a_removal_in_doubt_that_took_place_takes_nothing_of_a_later_link(bench: Two) -> None:
    made_beside(bench)
    bench.people(ann=None, bob="bolt", cid=None)

    def lose(_: Sequence[Pair]) -> None:
        raise Ambiguous("the connection broke")

    bench.destination.after_link = lose
    assert bench.run().exit_code == 1
    bench.destination.after_link = lambda _: None
    people_link(bench, "ann", "acme", 279)
    assert bench.run().counts == {"unlinked": 1}
    assert stands(bench, "ann", "acme") == {279}


def test_many_refused_links_wait_for_their_time_and_are_counted(bench: Two) -> None:
    bench.source([(f"p{n:03}", f"p{n:03}@x.io", "acme") for n in range(120)], DDL)
    bench.run_firms()
    bench.destination.bad_links = {"101"}
    assert bench.run().links_refused == {"OBJECT_NOT_FOUND": 120}
    bench.sent_links()
    plan = bench.plan()
    assert (plan.links.refused, plan.links.link) == ({"OBJECT_NOT_FOUND": 120}, 0)
    later = bench.run()
    assert (later.exit_code, bench.sent_links(), later.links_refused) == (1, [], {"OBJECT_NOT_FOUND": 120})
    assert list_runs(bench.warehouse, 1)[0].waiting == {"OBJECT_NOT_FOUND (link)": 120}
    bench.sync_as(guardrails=Guardrails(min_rows=0, max_waiting=120))
    assert bench.run().exit_code == 0
    bench.destination.bad_links = set()
    bench.clock = LoopClock(bench.clock.now() + timedelta(hours=2))
    assert (bench.run().counts, bench.run().exit_code) == ({"linked": 120}, 0)


def test_links_that_the_sync_does_not_declare_any_more_are_named_and_stay(bench: Two) -> None:
    bench.run_firms()
    bench.run()
    bench.sync_as(associate=(Association("fake__firms", "firm_id", 279, "firms"),))
    assert bench.plan().links.left == 2
    bench.run()
    assert bench.plan().links.left == 2
    bench.sync_as(associate=(), columns=("golden_id", "email"))
    assert bench.plan().links.left == 4


def merged_into_a_persons(bench: Two, chosen: str | None = None) -> str:
    """People merge ann into a record of their own, on which they may have chosen a primary firm; ours goes along, and
    HubSpot leaves one primary. Then a field of ann changes in the model."""
    b, there = bench, bench.destination
    b.destination.implied, b.destination.exclusive = 279, frozenset({1})
    b.run_firms()
    b.run()
    theirs = there.make(email="annie@x.io")
    left = there.merge(theirs, ids_of(b)["ann@x.io"])
    there.links = {(there.led(a), firm, kind) for a, firm, kind in there.links}
    if chosen is not None:
        firm = ids_of(b)[f"{chosen}.example"]
        there.links = {link for link in there.links if link[0] != left or link[2] != 1}
        there.links |= {(left, firm, 1), (left, firm, 279)}
    b.source([("ann", "ann@y.io", "acme"), ("bob", "bob@x.io", "bolt"), ("cid", "cid@x.io", None)], DDL)
    b.sent_links()
    return left


def primary_of(bench: Two, id_: str) -> set[str]:
    return {
        str(bench.destination.records[b]["domain"]) for a, b, kind in bench.destination.links if (a, kind) == (id_, 1)
    }


def test_a_link_that_a_merge_brought_over_stands_and_is_not_made_again(bench: Two) -> None:
    left = merged_into_a_persons(bench)
    plan = bench.plan()
    assert (plan.merged, plan.links.link, plan.links.unlink, plan.links.standing) == (1, 0, 0, 1)
    assert plan.links.changes == 0
    assert bench.rows("SELECT DISTINCT state FROM revetl.links__fake__contacts") == [("linked",)], "a plan changes none"
    report = bench.run()
    assert (report.counts, bench.sent_links()) == ({"ok": 1, "links_matched": 1}, [])
    assert primary_of(bench, left) == {"acme.example"}
    bench.source([("ann", "ann@y.io", None), ("bob", "bob@x.io", "bolt"), ("cid", "cid@x.io", None)], DDL)
    assert bench.run().counts == {"unlinked": 1}, "it is still ours"
    assert primary_of(bench, left) == set()


def test_the_primary_that_a_person_chose_on_a_merged_record_stands(bench: Two) -> None:
    left = merged_into_a_persons(bench, chosen="bolt")
    plan = bench.plan()
    assert (plan.links.link, plan.links.unlink, plan.links.standing, plan.links.kept) == (0, 0, 0, 1)
    report = bench.run()
    assert (report.counts, report.exit_code, bench.sent_links()) == ({"ok": 1, "links_kept": 1}, 0, [])
    assert primary_of(bench, left) == {"bolt.example"}
    assert (bench.run().counts, bench.plan().links.said) == ({}, False), "it is decided once"
    [said] = [o.message for o in outcomes.of_run(bench.warehouse, report.run_id) if o.op == "link"]
    assert "somebody chose another" in str(said)
    bench.source([("ann", "ann@y.io", None), ("bob", "bob@x.io", "bolt"), ("cid", "cid@x.io", None)], DDL)
    bench.run()
    assert primary_of(bench, left) == {"bolt.example"}, "what the model drops was not ours any more"
    bench.source([("ann", "ann@y.io", "acme"), ("bob", "bob@x.io", "bolt"), ("cid", "cid@x.io", None)], DDL)
    assert bench.run().counts == {"linked": 1}, "a change of the model is sent"


def test_a_link_that_is_missing_on_a_merged_record_is_planned_and_made(bench: Two) -> None:
    left = merged_into_a_persons(bench)
    bench.destination.links = {link for link in bench.destination.links if link[0] != left}
    plan = bench.plan()
    assert (plan.links.link, plan.links.standing, plan.links.kept) == (1, 0, 0)
    assert bench.run().counts == {"ok": 1, "linked": 1}
    assert primary_of(bench, left) == {"acme.example"}


@pytest.mark.parametrize("chosen", [None, "acme", "bolt"])
def test_the_links_of_a_record_that_was_archived_and_made_again(bench: Two, chosen: str | None) -> None:
    """What stands on the new record others made; nothing is sent to the one that is gone."""
    there = bench.destination
    there.implied, there.exclusive = 279, frozenset({1})
    bench.run_firms()
    bench.run()
    old = ids_of(bench)["ann@x.io"]
    del there.records[old]
    there.links = {link for link in there.links if link[0] != old}
    there.fields = ("email", "domain", "job")
    new = there.make(email="ann@x.io")
    if chosen is not None:
        there.links |= {(new, ids_of(bench)[f"{chosen}.example"], kind) for kind in (1, 279)}
    bench.sync_as(columns=("golden_id", "email", "job", "firm_id"))
    bench.source(
        [("ann", "ann@x.io", "cook", "acme"), ("bob", "bob@x.io", None, "bolt")],
        "golden_id VARCHAR, email VARCHAR, job VARCHAR, firm_id VARCHAR",
    )
    bench.sent_links()
    plan = bench.plan()
    want = {None: (1, 0, 0), "acme": (0, 1, 0), "bolt": (0, 0, 1)}[chosen]
    assert (plan.found_again, plan.links.unlink) == (1, 0)
    assert (plan.links.link, plan.links.standing, plan.links.kept) == want
    counts = bench.run().counts
    assert (counts.get("linked", 0), counts.get("links_matched", 0), counts.get("links_kept", 0)) == want
    assert "unlinked" not in counts
    assert primary_of(bench, new) == {f"{chosen or 'acme'}.example"}
    assert (bench.run().counts, bench.plan().links.changes) == ({}, 0)


def test_the_plan_knows_the_links_of_a_firm_that_was_merged(bench: Two) -> None:
    """The firms' plan found it under another id, and was not applied yet."""
    bench.run_firms()
    bench.run()
    there = bench.destination
    there.merge(there.make(domain="acme2.example"), ids_of(bench)["acme.example"])
    there.links = {(a, there.led(firm), kind) for a, firm, kind in there.links}
    bench.firms("bolt")
    bench.warehouse.execute("INSERT INTO firms VALUES ('acme', 'acme-new.example')")
    contacts, bench.spec = bench.spec, FIRMS
    assert bench.plan().merged == 1
    bench.spec = contacts
    plan = bench.plan()
    assert (plan.links.link, plan.links.unlink, plan.links.standing) == (0, 0, 1)
    bench.run_firms()
    bench.sent_links()
    assert (bench.run().counts, bench.sent_links()) == ({"links_matched": 1}, [])


def test_an_id_of_a_plan_that_was_applied_long_ago_says_nothing(bench: Two) -> None:
    """The plan's lines stay after they were applied; since then the firm's id was learned anew."""
    bench.run_firms()
    bench.run()
    there = bench.destination
    there.merge(there.make(domain="acme2.example"), ids_of(bench)["acme.example"])
    there.links = {(a, there.led(firm), kind) for a, firm, kind in there.links}
    bench.firms("bolt")
    bench.warehouse.execute("INSERT INTO firms VALUES ('acme', 'acme-new.example')")
    bench.run_firms()
    bench.run()
    bench.warehouse.execute("UPDATE revetl.snapshot__fake__firms SET destination_id = '777' WHERE key = 'acme'")
    bench.warehouse.execute("UPDATE revetl.links__fake__contacts SET to_id = '777' WHERE to_key = 'acme'")
    plan = bench.plan()
    assert (plan.links.link, plan.links.unlink, plan.links.standing) == (0, 0, 0)


def test_a_plan_counts_the_links_of_a_record_that_the_other_plan_finds_gone_as_the_run_does(bench: Two) -> None:
    bench.firms("acme")
    bench.people(ann="acme", bob="acme")
    bench.run_firms()
    bench.run()
    bench.destination.links.clear()
    firm = next(i for i, r in bench.destination.records.items() if r.get("domain") == "acme.example")
    del bench.destination.records[firm]
    bench.warehouse.execute("UPDATE firms SET domain = 'acme-new.example'")
    contacts, bench.spec = bench.spec, FIRMS
    assert bench.plan().reasons == {"OBJECT_NOT_FOUND": 1}
    bench.spec = contacts
    planned = bench.plan().links.waiting
    bench.run_firms()
    assert (planned, bench.run().links_waiting) == (2, 2)
