"""What a plan says of links: each that a run would make or remove, and no more are removed than a guardrail allows."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from revetl.cli.render.plans import show_plan_lines, show_plans
from revetl.cli.render.plans_json import emit_plans
from revetl.cli.render.plans_markdown import markdown
from revetl.errors import GuardrailError
from revetl.model import Guardrails
from revetl.project.sync_meta import SyncMeta
from revetl.state.sync_tables import resolve
from revetl.sync.links import link_plan
from revetl.sync.plan import saved
from revetl.usecases.plan import LineFilter, Planned, PlannedSync
from tests.unit.test_sync_links import DDL, Two, ids_of
from tests.unit.test_sync_links import bench as bench


def listed(bench: Two) -> list[tuple[str, str, str, int, str | None, str | None]]:
    changes = link_plan.read(resolve(bench.warehouse, bench.spec))
    return [(c.op, c.key, c.to_key, c.type, c.from_id, c.to_id) for c in changes]


def test_a_plan_lists_the_links_that_a_run_would_make_and_remove(bench: Two) -> None:
    bench.run_firms()
    bench.plan()
    ids = ids_of(bench)
    acme, bolt = ids["acme.example"], ids["bolt.example"]
    assert listed(bench) == [("link", "ann", "acme", 1, None, acme), ("link", "bob", "bolt", 1, None, bolt)]
    bench.run()
    ids = ids_of(bench)
    ann, bob, cid = (ids[f"{name}@x.io"] for name in ("ann", "bob", "cid"))
    bench.people(ann="bolt", bob=None, cid="acme")
    plan = bench.plan()
    wanted = [
        ("unlink", "ann", "acme", 1, ann, acme),
        ("unlink", "bob", "bolt", 1, bob, bolt),
        ("link", "ann", "bolt", 1, ann, bolt),
        ("link", "cid", "acme", 1, cid, acme),
    ]
    assert listed(bench) == wanted
    assert [(c.op, c.key) for c in plan.link_samples] == [(op, key) for op, key, *_ in wanted]
    of_ann = [c.op for c in link_plan.read(resolve(bench.warehouse, bench.spec), keys=["ann"])]
    assert of_ann == ["unlink", "link"]
    assert bench.run(dry_run=True).plan.link_samples == plan.link_samples
    assert bench.run().counts == {"linked": 2, "unlinked": 2}


def test_every_form_of_a_plan_names_the_links(bench: Two, capsys: pytest.CaptureFixture[str]) -> None:
    bench.run_firms()
    bench.run()
    bench.people(ann="bolt", bob="bolt", cid=None)
    plans = Planned([PlannedSync(bench.spec, bench.plan(), bench.warehouse)], ("ann",))
    screen = io.StringIO()
    show_plans(Console(file=screen, width=80, color_system=None), plans.summaries)
    assert "unlink ann → acme  fake__firms, type 1\n" in screen.getvalue()
    assert "link   ann → bolt  fake__firms, type 1\n" in screen.getvalue()
    for wanted in (LineFilter(0), LineFilter(keys=("ann",))):
        screen = io.StringIO()
        show_plan_lines(Console(file=screen, width=80, color_system=None), plans, wanted)
        assert "unlink ann → acme" in screen.getvalue()
    screen = io.StringIO()
    show_plan_lines(Console(file=screen, width=80, color_system=None), plans, LineFilter(keys=("bob",)))
    assert "link" not in screen.getvalue()
    assert "| ann | unlink | acme | fake\\_\\_firms, type 1 |" in markdown(plans.summaries, target="dev", samples=3)
    assert "ann" not in markdown(plans.summaries, target="dev", samples=0), "without samples no key"
    emit_plans(plans, LineFilter(keys=("ann",)))
    (document,) = json.loads(capsys.readouterr().out)
    assert [(c["op"], c["key"], c["to_key"]) for c in document["link_rows"]] == [
        ("unlink", "ann", "acme"),
        ("link", "ann", "bolt"),
    ]
    assert [c["op"] for c in document["link_samples"]] == ["unlink", "link"]


def test_a_link_that_stands_there_already_is_planned_as_what_the_run_finds(bench: Two) -> None:
    """Somebody tied them before us: of records that we know, and of one that the plan adopts."""
    there = bench.destination
    bench.people(ann=None, bob=None, cid=None)
    bench.run_firms()
    bench.run()
    ids = ids_of(bench)
    there.links |= {(ids["ann@x.io"], ids["acme.example"], 1), (there.make(email="dan@x.io"), ids["acme.example"], 1)}
    bench.people(ann="acme", bob="bolt", cid=None, dan="acme")
    plan = bench.plan()
    assert (plan.links.link, plan.links.standing) == (1, 2)
    assert [key for _, key, *_ in listed(bench)] == ["bob"]
    counts = bench.run().counts
    assert (counts["linked"], counts["links_matched"]) == (1, 2)


def test_a_link_of_a_firm_that_was_removed_is_no_removal(bench: Two) -> None:
    """The destination dropped it with the firm, so the run has nothing to remove."""
    bench.run_firms()
    bench.run()
    bench.firms("bolt")
    bench.run_firms()
    bench.people(ann="bolt", bob="bolt", cid=None)
    plan = bench.plan()
    assert (plan.links.link, plan.links.unlink) == (1, 0)
    assert bench.run().counts == {"linked": 1}


@pytest.mark.parametrize("planned", [True, False])
def test_links_go_to_the_record_that_ours_was_merged_into_though_its_row_is_unchanged(
    bench: Two, planned: bool
) -> None:
    there = bench.destination
    bench.run_firms()
    bench.run()
    dead = ids_of(bench)["cid@x.io"]
    left = there.merge(there.make(email="cidney@x.io"), dead)
    dead_firm = ids_of(bench)["bolt.example"]
    firm = there.merge(there.make(domain="bolt2.example"), dead_firm)
    there.links = {(there.led(a), there.led(b), kind) for a, b, kind in there.links}
    there.bad_links = {dead, dead_firm}
    bench.people(ann="bolt", bob=None, cid="acme")
    if planned:
        plan = bench.plan()
        assert (plan.links.link, plan.links.unlink) == (2, 2)
        assert {(c[1], c[4], c[5]) for c in listed(bench) if c[1] == "cid"} == {
            ("cid", left, ids_of(bench)["acme.example"])
        }
    report = bench.run()
    assert (report.counts, report.exit_code) == ({"linked": 2, "unlinked": 2}, 0)
    assert there.links == {
        (left, ids_of(bench)["acme.example"], 1),
        (ids_of(bench)["ann@x.io"], firm, 1),
    }
    assert (bench.run().counts, bench.plan().links.changes) == ({}, 0)


@pytest.mark.parametrize("saved_plan", [False, True])
def test_the_old_link_stands_where_the_record_that_takes_its_place_was_archived(bench: Two, saved_plan: bool) -> None:
    there = bench.destination
    bench.people(ann="acme", bob="acme")
    bench.run_firms()
    bench.run()
    bench.people(ann="bolt", bob=None)
    options: dict[str, Any] = {}
    bolt = ids_of(bench)["bolt.example"]
    if saved_plan:
        entry = saved.entry(bench.warehouse, bench.spec, bench.plan(), bench.clock)
        options = {"planner": saved.planner(bench.warehouse, bench.spec, entry)}
    archived = there.records.pop(bolt)
    there.bad_links = {bolt}
    if not saved_plan:
        assert bench.plan().links.unlink == 1
        assert [(c[0], c[1]) for c in listed(bench)] == [("unlink", "bob"), ("link", "ann")]
    report = bench.run(**options)
    assert report.counts == {"links_rejected": 1, "unlinked": 1}
    assert bench.linked() == [("ann", "acme")]
    bench.run()
    assert bench.linked() == [("ann", "acme")], "as long as the new one is refused"
    there.records[bolt], there.bad_links = archived, set()
    bench.run()
    assert bench.linked() == [("ann", "bolt")]


def test_a_model_that_lost_its_column_of_links_is_stopped(bench: Two) -> None:
    """Nobody wrote a limit: a tenth, and ten links in any case."""
    bench.run_firms()
    meta = {"destination": "fake", "object": "contacts", "key": "golden_id"}
    rails = SyncMeta.model_validate(meta).guardrails_in_force()
    bench.sync_as(guardrails=rails)
    bench.destination.batch_rows = 30
    bench.source([(f"p{n}", f"p{n}@x.io", "acme") for n in range(12)], DDL)
    bench.run()
    bench.source([(f"p{n}", f"p{n}@x.io", "acme" if n < 2 else None) for n in range(12)], DDL)
    assert bench.plan().violations == [], "ten are few"
    bench.source([(f"p{n}", f"p{n}@x.io", "acme" if n < 1 else None) for n in range(12)], DDL)
    with pytest.raises(
        GuardrailError, match=r"11 of 12 links \(92%\) would be removed .*max_unlinked_share is 10%"
    ) as e:
        bench.run()
    assert "--allow unlinked" in str(e.value)
    assert len(bench.destination.links) == 12
    assert [v.guardrail for v in bench.plan().violations] == ["unlinked"]
    assert bench.run(allow=["unlinked"]).counts == {"unlinked": 11}


@pytest.mark.parametrize(
    ("written", "share", "few"),
    [
        ({}, 0.1, 10),
        ({"max_deleted_share": 0.3}, None, 0),
        ({"max_unlinked_share": 0.5, "max_deleted_share": 0.3}, 0.5, 0),
        ({"max_unlinked_share": None}, 1.0, 0),
    ],
)
def test_the_limit_of_removed_links_is_that_of_the_yml(
    written: dict[str, float | None], share: float | None, few: int
) -> None:
    meta = {"destination": "d", "object": "o", "key": "k", "guardrails": written}
    rails: Guardrails = SyncMeta.model_validate(meta).guardrails_in_force()
    assert (rails.max_unlinked_share, rails.few_unlinked) == (share, few)
