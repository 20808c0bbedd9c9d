"""schemathesis against `/v1`, in one process: a made-up process in place of the command line, time by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from revetl.service.api.openapi import document
from tests.support.service_world import BASE, ServiceWorld, fill, state_in_memory


@dataclass
class ApiFindings:
    """`requests`: that were answered, by their status. `failures`: what the document does not allow."""

    routes: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.by_status.values())


def check_api(seed: int, examples: int) -> ApiFindings:
    """So many examples for each route that fit the document, and so many that do not, as a token that may do all."""
    warehouse, found = state_in_memory(), ApiFindings()
    try:
        fill(warehouse)
        world = ServiceWorld(warehouse)
        schema = schemathesis.openapi.from_dict(document())
        schema.app = world.app
        schema.config.update(base_url=BASE)
        for each in schema.get_all_operations():
            operation = each.ok()
            found.routes += 1
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _try(operation, mode, world, found, seed, examples)
    finally:
        warehouse.close()
    return found


def _try(operation: Any, mode: Any, world: ServiceWorld, found: ApiFindings, seed: int, examples: int) -> None:
    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        world.clock.passed += 10  # no limit of requests is what is tried here
        given_key = (case.headers or {}).get("Idempotency-Key")
        headers = {"Authorization": f"Bearer {world.tokens['approver']}"}
        if mode is GenerationMode.POSITIVE and given_key:  # a key that is drawn twice is no other request's
            headers["Idempotency-Key"] = next(world.keys)
        response = case.call(headers=headers)
        found.by_status[response.status_code] += 1
        try:
            case.validate_response(response, headers=headers)
        except FailureGroup as group:
            said = "; ".join(f"{type(e).__name__}: {str(e)[:300]}" for e in group.exceptions)
            found.failures.append(
                f"{operation.label} {mode.value} {response.status_code} key={given_key!r}"
                f" {case.query!r} {case.body!r}: {response.text[:200]} {said}"
            )

    try:
        one()
    except Exception as e:  # noqa: BLE001 - one route that can't be tried must not hide the others
        found.failures.append(f"{operation.label} {mode.value}: {type(e).__name__}: {str(e)[:300]}")
