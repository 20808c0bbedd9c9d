"""What a connector makes of a vendor's bad days: nothing is said to be done that is not, and no secret shows."""

from __future__ import annotations

import logging
import traceback

import pytest

from revetl.destinations.base import Destination
from revetl.errors import CallError, ConfigError, Denied, Rejected, Throttled, Unavailable
from revetl.model import Status
from revetl.testing.destinations.harness import TAKEN, DestinationHarness, SuiteBench, on_bench


class FailureTests(DestinationHarness):
    @on_bench
    async def test_refused_credentials_leave_as_denied(self, bench: SuiteBench) -> None:
        await self._leaves(bench, "denied", Denied)

    @on_bench
    async def test_throttling_past_patience_leaves_as_throttled(self, bench: SuiteBench) -> None:
        await self._leaves(bench, "throttled", Throttled)

    @on_bench
    async def test_an_outage_leaves_as_unavailable(self, bench: SuiteBench) -> None:
        await self._leaves(bench, "unavailable", Unavailable)

    async def _leaves(self, bench: SuiteBench, kind: str, error: type[CallError]) -> None:
        """As an exception, since nothing was applied: no outcome could say that."""
        async with bench.connected() as destination:
            await self.fail(bench, kind)
            with pytest.raises(error):
                await bench.write(destination, bench.creates(1))
        assert await bench.standing() == {}

    @on_bench
    async def test_an_unknown_object_is_a_configuration_error(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            with pytest.raises(ConfigError):
                await destination.describe(self.unknown_object)

    @on_bench
    async def test_a_lost_answer_is_unknown_and_never_ok(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            size = min(destination.limits(self.object).batch_rows, 3)
            await self.fail(bench, "lost")
            outcomes = await bench.write_or_lose(destination, bench.creates(size))
            assert {o.status for o in outcomes.values()} == {Status.UNKNOWN}

    @on_bench
    async def test_one_lost_answer_is_repeated_or_unknown(self, bench: SuiteBench) -> None:
        """Repeated where that is safe: then no record stands twice. Never rejected: it was not refused."""
        async with bench.connected() as destination:
            size = min(destination.limits(self.object).batch_rows, 3)
            await self.fail(bench, "lost_once")
            outcomes = await bench.write_or_lose(destination, bench.creates(size))
            assert {o.status for o in outcomes.values()} <= {*TAKEN, Status.UNKNOWN}
            found = await bench.standing()
            assert len(found) == size

    @on_bench
    async def test_what_the_vendor_did_not_answer_for_is_never_ok(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            size = min(destination.limits(self.object).batch_rows, 3)
            await self.fail(bench, "unanswered")
            outcomes = await bench.write_or_lose(destination, bench.creates(size))
        if bench.wire.requests:
            assert bench.wire.changed, "no answer has a list to empty: say in `fail` how a record goes unanswered"
        assert not {o.status for o in outcomes.values()} & {*TAKEN}

    @on_bench
    async def test_an_error_inside_a_success_is_no_success(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            await self.fail(bench, "errors_inside")
            try:
                outcomes = await bench.write_or_lose(destination, bench.creates(1))
            except CallError:
                return
            assert not {o.status for o in outcomes.values()} & {*TAKEN}

    @on_bench
    async def test_no_secret_shows_in_reprs_errors_outcomes_or_logs(self, bench: SuiteBench) -> None:
        """Also where the vendor quotes the credential in its own message."""
        heard: list[str] = []
        ears = _Ears(heard)
        root = logging.getLogger()
        level, said = root.level, []
        root.addHandler(ears)
        root.setLevel(logging.DEBUG)
        try:
            async with bench.connected() as destination:
                said += [repr(destination), str(destination)]
                for kind in ("denied", "unavailable", "lost"):
                    await self.fail(bench, kind)
                    said += await self._all_that_is_said(bench, destination)
                    bench.wire.mend()
        finally:
            root.removeHandler(ears)
            root.setLevel(level)
        for text in [*said, *heard]:
            assert self.token not in text

    async def _all_that_is_said(self, bench: SuiteBench, destination: Destination) -> list[str]:
        try:
            outcomes = await bench.write(destination, bench.creates(1))
        except (CallError, Rejected) as e:
            return [str(e), repr(e), "".join(traceback.format_exception(e))]
        return [repr(outcome) for outcome in outcomes.values()]


class _Ears(logging.Handler):
    """Hears everything, with the arguments that are not formatted yet."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(f"{record.getMessage()} {record.args!r} {record.exc_text or ''}")
