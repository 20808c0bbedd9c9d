"""The suite itself: a connector that keeps the contract passes, one with a fault is found, a waiver must be needed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from aiohttp import web

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.http_sink import HttpSink, Options
from revetl.http import default_transport
from revetl.model import Scalar
from revetl.testing import DestinationSuite, StoredRecord, VendorWire
from tests.support import small_connector as small
from tests.support.small_connector import SmallConnector, SmallSuite


class TestSmallConnector(SmallSuite):
    """Keeps the contract."""


class TestSmallConnectorByJobs(SmallSuite):
    """Keeps it with jobs too."""

    connector = small.ByJobs


class TestSmallConnectorOfEvents(SmallSuite):
    """And with events that nobody can see."""

    connector = small.Events


def passes(connector: type[SmallConnector], test: str) -> bool:
    class Suite(SmallSuite):
        pass

    Suite.connector = connector
    try:
        getattr(Suite(), test)()
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever it is, the test fails
        return False
    return True


@pytest.mark.parametrize(
    ("connector", "found_by"),
    [
        (small.ByOrder, "test_outcomes_are_attributed_by_ordinal_whatever_the_order_of_answers"),
        (small.WholeBatchOk, "test_a_refused_record_costs_no_other"),
        (small.MissingIsOk, "test_what_the_vendor_did_not_answer_for_is_never_ok"),
        (small.DropsRefused, "test_a_refused_record_costs_no_other"),
        (small.OneRefusesAll, "test_a_refused_record_costs_no_other"),
        (small.DeletesTheFirst, "test_several_deletes_are_each_done_and_answered_by_name"),
        (small.DeletesByOrder, "test_several_deletes_are_each_done_and_answered_by_name"),
        (small.GoneIsRejected, "test_a_delete_of_what_is_gone_is_no_refusal"),
        (small.SearchesUnescaped, "test_look_up_finds_values_that_need_escaping"),
        (small.SearchesWords, "test_look_up_finds_values_that_need_escaping"),
        (small.SearchesAscii, "test_look_up_finds_values_that_need_escaping"),
        (small.Sleeps, "test_write_neither_sleeps_nor_reads_the_environment"),
        (small.BlocksTheLoop, "test_write_neither_sleeps_nor_reads_the_environment"),
        (small.ReadsTheEnvironment, "test_write_neither_sleeps_nor_reads_the_environment"),
        (small.DoublesOnRepeat, "test_a_repeat_makes_no_second_record"),
        (small.Leaks, "test_no_secret_shows_in_reprs_errors_outcomes_or_logs"),
        (small.LeaksInErrors, "test_no_secret_shows_in_reprs_errors_outcomes_or_logs"),
        (small.LostIsRejected, "test_a_lost_answer_is_unknown_and_never_ok"),
        (small.LostIsOk, "test_lost_answers_are_healed_by_the_next_run"),
        (small.SwallowsDenied, "test_refused_credentials_leave_as_denied"),
        (small.ChokesOnTheLimit, "test_a_batch_of_exactly_the_limit_is_taken_whole"),
        (small.ComparesAsSent, "test_normalise_is_idempotent_and_agrees_with_what_the_vendor_stores"),
        (small.NormalisesTwice, "test_normalise_is_idempotent_and_agrees_with_what_the_vendor_stores"),
        (small.FindsTheAbsent, "test_look_up_finds_what_stands_and_nothing_else"),
        (small.AsksWhenOpened, "test_opening_asks_the_vendor_nothing"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_fault_is_found(connector: type[SmallConnector], found_by: str) -> None:
    assert passes(SmallConnector, found_by)
    assert not passes(connector, found_by)


def test_the_crash_test_finds_a_second_record() -> None:
    """Not by the repeat alone: under the real engine, after the process died between the vendor's work and its word."""

    class Doubles(small.DoublesOnRepeat):
        """Nothing can be looked up either, so nothing heals it."""

        look_up = None  # type: ignore[assignment]

    assert not passes(Doubles, "test_a_crash_at_any_write_loses_nothing_and_doubles_nothing")


def test_a_poison_that_changes_the_identity_is_refused_with_the_reason() -> None:
    class Suite(SmallSuite):
        def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
            return {**fields, "email": "no address"}

    with pytest.raises(AssertionError, match="`poison` changes 'email', which is the identity"):
        Suite().test_a_refused_record_costs_no_other()


def test_values_of_the_identity_are_refused_with_the_reason() -> None:
    class Suite(SmallSuite):
        def values(self) -> Mapping[str, Any]:
            return {"email": ["one@x.io", "two@x.io"]}

    with pytest.raises(AssertionError, match="`values` names 'email', which is the identity"):
        Suite().test_normalise_is_idempotent_and_agrees_with_what_the_vendor_stores()


def test_a_job_that_only_its_own_process_can_follow_is_found() -> None:
    assert passes(small.ByJobs, "test_a_job_is_followed_by_another_process")
    assert not passes(small.ForgetsJobs, "test_a_job_is_followed_by_another_process")
    assert not passes(small.ForgetsJobs, "test_a_crash_at_any_write_loses_nothing_and_doubles_nothing")


def test_a_waiver_names_a_test_and_its_reason() -> None:
    with pytest.raises(TypeError, match="no test 'test_nothing'"):
        type("Suite", (SmallSuite,), {"waivers": {"test_nothing": "because"}})
    with pytest.raises(TypeError, match="has no reason"):
        type("Suite", (SmallSuite,), {"waivers": {"test_check_says_a_line_for_people": " "}})


def test_a_waiver_that_is_needed_holds_and_one_that_is_not_fails() -> None:
    class Suite(SmallSuite):
        connector = small.AsksWhenOpened
        waivers: Mapping[str, str] = {  # type: ignore[misc]
            "test_opening_asks_the_vendor_nothing": "its sessions begin with a request",
            "test_check_says_a_line_for_people": "no reason at all",
            "test_links_are_made_once_and_removed": "skipped: it has no links",
        }

    with pytest.raises(pytest.xfail.Exception, match="its sessions begin"):
        Suite().test_opening_asks_the_vendor_nothing()
    with pytest.raises(pytest.fail.Exception, match="not needed"):
        Suite().test_check_says_a_line_for_people()
    with pytest.raises(pytest.fail.Exception, match="not needed"):
        Suite().test_links_are_made_once_and_removed()


# The HTTP sink, against a receiver behind a real socket.


@dataclass
class Receiver:
    """Keys by `key`, as the sink asks of whoever receives. Refuses a batch with a name that is too long whole."""

    url: str = ""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        rows = await request.json()
        if any(len(row["fields"].get("name") or "") > 100 for row in rows):
            return web.json_response({"message": "a name is too long"}, status=422)
        for row in rows:
            if row["op"] == "delete":
                self.records.pop(row["key"], None)
            else:
                self.records.setdefault(row["key"], {}).update(row["fields"])
        return web.Response(status=202)


class TestHttpSink(DestinationSuite):
    object, identity, text = "anything", "email", "name"
    virtual_time = False
    waivers: Mapping[str, str] = {  # type: ignore[misc]
        "test_an_unknown_object_is_a_configuration_error": "an endpoint takes whatever object it is sent",
        "test_what_the_vendor_did_not_answer_for_is_never_ok": "2xx speaks of every record: the answer has no body",
        "test_an_error_inside_a_success_is_no_success": "2xx means that all was taken: the answer has no body",
    }

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Receiver]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Receiver]:
            receiver, app = Receiver(), web.Application()
            app.router.add_post("/push", receiver.take)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            receiver.url = f"http://{host}:{port}/push"
            try:
                yield receiver
            finally:
                await runner.cleanup()

        return started()

    def transport(self, vendor: Receiver) -> httpx.AsyncBaseTransport:
        return default_transport(vendor.url)

    def connect(self, vendor: Receiver, wire: VendorWire, clock: Clock) -> Destination:
        options = Options.model_validate(
            {"url": vendor.url, "headers": {"x-api-key": self.token}, "batch_rows": 5, "concurrency": 2}
        )
        return HttpSink("sink", options, clock, wire)

    async def standing(self, vendor: Receiver) -> list[StoredRecord]:
        return [StoredRecord(key, json.loads(json.dumps(fields))) for key, fields in vendor.records.items()]

    def poison(self, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return {**fields, "name": "x" * 101}

    def values(self) -> Mapping[str, Any]:
        return {**super().values(), "age": [0, 41], "active": [True, False]}
