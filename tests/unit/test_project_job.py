"""The order of the whole job, with its parts stubbed: what is built again, what a refusal of the cost stops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from revetl.enrich.options import WaterfallOptions
from revetl.enrich.project_budget import NO_PROJECT_BUDGET
from revetl.enrich.report import EnrichReport, Estimate, ProviderReport, StageEstimate
from revetl.errors import ConfigError, GuardrailError
from revetl.project import BuildResult
from revetl.sync.report import PlanSummary, SyncReport
from revetl.usecases import caller, job, waterfalls
from revetl.usecases.build import BuildRequest
from revetl.usecases.caller import Caller


class FakeProject:
    """Notes what is asked of it; refuses to build while its warehouse is open, as DuckDB would."""

    target = "dev"
    state_dir = None
    providers: ClassVar[dict[str, Any]] = {}
    settings = SimpleNamespace(budget=NO_PROJECT_BUDGET)

    def __init__(self, *waterfalls: str) -> None:
        self.done: list[str] = []
        self.open = 0
        self.waterfalls = {n: SimpleNamespace(name=n, entity=f"golden_{n}", provider_names=()) for n in waterfalls}

    def build(self, request: BuildRequest, _: Any) -> BuildResult:
        assert not self.open
        self.done.append(f"build {' '.join(request.select)}".strip())
        return BuildResult("i", 0.1, {"success": 3})

    def open_warehouse(self) -> Any:
        self.open += 1
        return SimpleNamespace(close=self._close)

    def _close(self) -> None:
        self.open -= 1

    def relation(self, name: str) -> str:
        return name

    def connected(self, names: Sequence[str], clock: Any) -> dict[str, Any]:
        return dict.fromkeys(names)

    def refuse_missing_credentials(self, names: Iterable[str]) -> None:
        """None lacks."""

    def sagas(self) -> list[Any]:
        return []

    def syncs(self, select: Sequence[str], exclude: Sequence[str], *, verified: bool = True) -> list[Any]:
        return [SimpleNamespace(name="contacts")]

    @property
    def manifest(self) -> Any:
        """The sync `contacts` reads from `golden_people`, and from nothing else."""
        return SimpleNamespace(above=lambda names: {*names, "golden_people"})


def run(
    monkeypatch: pytest.MonkeyPatch,
    project: FakeProject,
    *,
    hits: int = 1,
    cost: str = "1",
    agrees: bool = True,
    status: Any = "done",
    broken: bool = False,
    **options: Any,
) -> job.JobReport:
    async def waterfall(_ctx: Any, spec: Any, _providers: Any, _entity: Any, options: WaterfallOptions) -> EnrichReport:
        project.done.append(f"enrich {spec.name} {options.max_spend_usd}")
        return EnrichReport(spec.name, "r", {"p": ProviderReport(asked=hits, hits=hits, spent_usd=Decimal(cost))})

    def estimate(_w: Any, spec: Any, *_: Any, **__: Any) -> Estimate:
        return Estimate(spec.name, (StageEstimate("p", 5, 5, 0.5, True, Decimal(cost), Decimal(cost)),))

    def resolve(_w: Any, spec: Any) -> None:
        if broken:
            raise ConfigError(f"{spec.name} is wrong")

    def push(_p: Any, _w: Any, specs: Sequence[Any], *_: Any) -> list[SyncReport]:
        assert project.open == 1
        project.done.append("sync")
        plan = PlanSummary(plan_id="p", sync="contacts", destination="hubspot", object="contacts")
        return [SyncReport("r", "contacts", status, plan, exit_code=1 if status != "done" else 0)]

    monkeypatch.setattr(caller, "claim", lambda *_: None)
    monkeypatch.setattr(waterfalls, "run_waterfall", waterfall)
    monkeypatch.setattr(waterfalls, "estimate", estimate)
    monkeypatch.setattr(job, "build", FakeProject.build)
    monkeypatch.setattr(job, "push", push)
    monkeypatch.setattr(job, "audited", lambda *_, **__: None)
    monkeypatch.setattr(job, "resolve", resolve)
    request = job.JobRequest(ask=lambda: agrees, **options)
    try:
        return job.run_job(project, request, Caller())
    finally:
        assert project.open == 0


def test_new_values_are_built_into_the_models_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    project = FakeProject("people")
    report = run(monkeypatch, project)
    assert project.done == ["build", "enrich people None", f"build {job.VALUES_AND_AFTER}", "sync"]
    assert report.exit_code == 0
    assert [s.stage for s in report.stages] == ["build", "enrich people", "build", "sync contacts"]


def test_without_new_values_nothing_is_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    project = FakeProject("people")
    run(monkeypatch, project, hits=0)
    assert project.done == ["build", "enrich people None", "sync"]


def test_waterfalls_share_one_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    project = FakeProject("people", "companies")
    report = run(monkeypatch, project, cost="0.75", max_spend_usd=Decimal(2))
    assert project.done[1:3] == ["enrich people 2", "enrich companies 1.25"]
    assert report.spend_usd == Decimal("1.50")


def test_a_cost_not_agreed_to_stops_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    project = FakeProject("people")
    with pytest.raises(GuardrailError) as e:
        run(monkeypatch, project, agrees=False)
    assert e.value.exit_code == 3
    assert project.done == ["build"]


def test_an_interrupted_sync_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, FakeProject(), status="interrupted").exit_code == 130


def test_a_sync_that_can_not_run_is_told_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    project = FakeProject("people")
    with pytest.raises(ConfigError, match="contacts is wrong"):
        run(monkeypatch, project, broken=True)
    assert project.done == ["build"]


def test_a_selected_sync_builds_and_enriches_what_it_reads_from_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    project = FakeProject("people", "companies")
    run(monkeypatch, project, select=["contacts"])
    again = f"build {job.VALUES_AND_AFTER},+contacts"
    assert project.done == ["build +contacts", "enrich people None", again, "sync"]


def test_what_dbt_has_built_already_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    project = FakeProject("people")
    run(monkeypatch, project, builds=False)
    assert project.done == ["enrich people None", "sync"]  # although there are new values: the next build reads them
