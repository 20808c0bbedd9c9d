"""Files as a destination: the contract, in a folder, in S3 (moto), behind OpenSSH, and in a stand-in of GCS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from revetl.clock import Clock
from revetl.destinations.base import Destination
from revetl.destinations.files.connector import Files, store_of
from revetl.destinations.files.options import Options
from revetl.errors import Denied, Throttled, Unavailable
from revetl.testing import DestinationSuite, StoredRecord, VendorWire
from revetl.testing.destinations.harness import SuiteBench
from tests.support.file_servers import files_in_bucket, lasting_s3, lasting_sftp
from tests.support.files import FileWire, WiredStore, applied, files_below, read_runs
from tests.support.gcs import GcsStandIn

_REFUSES_NONE = "a file takes any value: no record is refused by it"
_NO_BATCHES = "a run goes as one file and not in batches"


@dataclass
class Place:
    """Where the suite's files go. `files`: what stands there, by path, read without the connector."""

    options: dict[str, Any]
    files: Callable[[], dict[str, bytes]]
    transport: httpx.AsyncBaseTransport | None = None
    file_wire: FileWire = field(default_factory=FileWire)


class FilesSuite(DestinationSuite):
    object, identity, text = "people", "email", "name"
    match_on = None
    virtual_time = False
    unknown_object = "../people"

    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Place]:
        raise NotImplementedError

    def transport(self, vendor: Place) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(lambda request: httpx.Response(500))

    def connect(self, vendor: Place, wire: VendorWire, clock: Clock) -> Destination:
        """The suite's wire is for HTTP: ours tells it what it sees, burns its fuse and is mended with it."""
        ours = vendor.file_wire
        ours.fuse = wire.fuse

        def seen(path: str) -> None:
            wire.requests.append(httpx.Request("PUT", f"http://store/{path}"))

        def wrote() -> None:
            wire.writes += 1

        ours.on_call, ours.on_write = seen, wrote
        wire.mend = ours.mend  # type: ignore[method-assign]
        options = Options.model_validate({"format": "ndjson", **vendor.options})
        return Files("suite", options, clock, WiredStore(store_of("suite", options, clock, vendor.transport), ours))

    async def standing(self, vendor: Place) -> list[StoredRecord]:
        held = applied(read_runs(vendor.files(), self.object, vendor.file_wire.created))
        return [StoredRecord(key, record) for key, record in held.items()]

    async def fail(self, bench: SuiteBench, kind: str) -> None:
        wire: FileWire = bench.vendor.file_wire
        failures = {"denied": Denied, "throttled": Throttled, "unavailable": Unavailable}
        if kind in failures:
            wire.failure = failures[kind]
        elif kind in ("lost", "lost_once"):
            wire.lose, wire.dark = 1, kind == "lost"
        elif kind not in ("shuffled", "unanswered"):
            await super().fail(bench, kind)

    waivers: Mapping[str, str] = {  # type: ignore[misc]
        "test_a_refused_record_costs_no_other": _REFUSES_NONE,
        "test_a_refused_record_is_rejected_and_the_others_arrive": _REFUSES_NONE,
        "test_no_call_is_larger_than_the_limits": _NO_BATCHES,
        "test_what_the_vendor_did_not_answer_for_is_never_ok": "a place answers for a file: its answer has no list",
        "test_write_neither_sleeps_nor_reads_the_environment": "pyarrow reads PYARROW_IGNORE_TIMEZONE whenever it makes"
        " a column of Python's values",
        "test_an_error_inside_a_success_is_no_success": "a file is made or it is not: there is no answer with a body",
        "test_updates_and_deletes_are_of_the_record_that_they_name": "an update stands in a file with its whole row,"
        " which the suite's `write` is not given; the engine gives it",
    }


class TestFolder(FilesSuite):
    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Place]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Place]:
            with TemporaryDirectory() as folder:
                root = Path(folder)
                yield Place({"url": f"file://{folder}"}, lambda: files_below(root))

        return started()


class TestS3(FilesSuite):
    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Place]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Place]:
            server = lasting_s3()
            bucket = server.new_bucket()
            yield Place(
                {"url": f"s3://{bucket}/crm", "s3": server.options(self.token)},
                lambda: files_in_bucket(server, bucket, "crm/"),
            )

        return started()


class TestSftp(FilesSuite):
    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Place]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Place]:
            server = lasting_sftp()
            with TemporaryDirectory() as folder:
                root = Path(folder)
                yield Place({"url": server.url(root), "sftp": server.options()}, lambda: files_below(root))

        return started()


class TestGcs(FilesSuite):
    def vendor(self, clock: Clock) -> AbstractAsyncContextManager[Place]:
        @asynccontextmanager
        async def started() -> AsyncIterator[Place]:
            cloud = GcsStandIn("exports")
            options = {"url": "gs://exports/crm", "gcs": {"service_account": cloud.service_account}}
            yield Place(options, lambda: cloud.below("crm/"), httpx.MockTransport(cloud.answer))

        return started()
