"""The destination suite: every MUST of the contract (`revetl.destinations.base`) as a test of behaviour.

    class TestAcme(DestinationSuite):
        object, identity, text, match_on = "people", "email", "name", "email"
        def vendor(self, clock): ...
        def connect(self, vendor, wire, clock): ...
        async def standing(self, vendor): ...

A test that asks for a capability which the connector does not have is skipped. What a connector can't pass for a reason
of its vendor stands in `waivers`, with the reason.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from revetl.testing.destinations.capabilities import CapabilityTests
from revetl.testing.destinations.engine import EngineTests
from revetl.testing.destinations.failures import FailureTests
from revetl.testing.destinations.writing import WriteTests


class DestinationSuite(WriteTests, FailureTests, EngineTests, CapabilityTests):
    """What a subclass has to say is described at `DestinationHarness`."""

    def __init_subclass__(cls) -> None:
        """A waived test is run, and must fail. TypeError for a waiver of no test, or one without a reason."""
        super().__init_subclass__()
        for name, reason in cls.waivers.items():
            test = getattr(DestinationSuite, name, None)
            if test is None or not name.startswith("test_"):
                raise TypeError(f"{cls.__name__}.waivers: the suite has no test {name!r}")
            if not reason.strip():
                raise TypeError(f"{cls.__name__}.waivers: {name} has no reason")
            setattr(cls, name, _waived(test, reason))


def _waived(test: Callable[..., None], reason: str) -> Callable[..., None]:
    @functools.wraps(test)
    def run(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            test(self, *args, **kwargs)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever it is, the connector does not pass
            pytest.xfail(reason)
        except pytest.skip.Exception:
            pass
        pytest.fail(f"the waiver is not needed, take it out: {reason}")

    return run
