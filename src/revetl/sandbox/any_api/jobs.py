"""Jobs of the made-up API: a body that is taken now and worked off later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from revetl.clock import Clock
from revetl.sandbox.any_api.records import ApiRefusal


@dataclass(slots=True)
class ApiJobRun:
    """One job. `results` stand once it was worked off."""

    id: str
    due_s: float
    work: Callable[[], list[dict[str, Any]]]
    results: list[dict[str, Any]] | None = None

    @property
    def shown(self) -> dict[str, Any]:
        return {"id": self.id, "status": "running" if self.results is None else "done"}


@dataclass(slots=True)
class ApiJobRuns:
    """All of them. A job is worked off `takes_s` after it was taken, in their order. `kept`: after so many more are
    taken, one is forgotten."""

    clock: Clock
    takes_s: float
    kept: int = 1_000
    jobs: dict[str, ApiJobRun] = field(default_factory=dict)
    taken: int = 0

    def take(self, work: Callable[[], list[dict[str, Any]]]) -> ApiJobRun:
        self.taken += 1
        job = ApiJobRun(f"job/{self.taken}", self.clock.monotonic() + self.takes_s, work)
        self.jobs[job.id] = job
        while len(self.jobs) > self.kept:
            del self.jobs[next(iter(self.jobs))]
        return job

    def work_off(self) -> None:
        for job in self.jobs.values():
            if job.results is None and self.clock.monotonic() >= job.due_s:
                job.results = job.work()

    def get(self, id_: str) -> ApiJobRun:
        if id_ not in self.jobs:
            raise ApiRefusal(404, "gone", "there is no such job")
        return self.jobs[id_]

    def clear(self) -> None:
        self.jobs.clear()
        self.taken = 0
