"""Where the tests of the engines run: on DuckDB, and a few of them on the other warehouses as well.

REVETL_ALL_WAREHOUSES=1: all of them on all three, which takes the better part of an hour.
REVETL_TEST_WAREHOUSE=postgres: all of them on that one only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.engine_tests import ALWAYS, GROUPS
from tests.support.warehouses import KINDS, PARAMS, THE_WAREHOUSE
from tests.support.worker_groups import keep_groups_together

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

_ENGINE = frozenset(file.removesuffix(".py").replace("/", ".") for files in GROUPS.values() for file in files)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__ not in _ENGINE or THE_WAREHOUSE in os.environ:
        return
    everywhere = os.environ.get("REVETL_ALL_WAREHOUSES") == "1"
    kinds = KINDS if everywhere else ALWAYS.get(metafunc.function.__name__, ())
    if kinds:
        # First of all: a fixture that opens a warehouse asks which.
        metafunc.fixturenames.insert(0, "on_warehouse")
        chosen = [p for p in PARAMS if p.values[0] in kinds]
        metafunc.parametrize("on_warehouse", chosen, indirect=True, scope="module")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_groups_together(config, items)


@pytest.fixture(scope="module")  # what Hypothesis repeats may have no fixture of its own function
def on_warehouse(request: pytest.FixtureRequest) -> Iterator[str]:
    """Makes `tests.support.warehouses.the_warehouse` give this kind."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(THE_WAREHOUSE, request.param)
        yield str(request.param)
