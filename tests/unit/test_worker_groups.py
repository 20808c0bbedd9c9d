"""Tests that share a server or a built project run in one worker, so that it is made once."""

from __future__ import annotations

from typing import Any, cast

import pytest
from xdist.scheduler.loadgroup import LoadGroupScheduling  # type: ignore[import-untyped]

from tests.support.worker_groups import group_of


def test_xdist_sees_the_group_of_every_test_that_has_one(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("only under --dist loadgroup are tests given to workers by group")
    scope_of = LoadGroupScheduling._split_scope
    grouped = {item.nodeid: group for item in request.session.items if (group := group_of(item)) is not None}
    assert {scope_of(cast(Any, None), nodeid) for nodeid in grouped} == set(grouped.values())


@pytest.mark.xdist_group("worker_groups")
def test_a_test_of_a_group_is_named_for_it(request: pytest.FixtureRequest) -> None:
    is_shared_out = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@worker_groups") is is_shared_out
