"""Work that a vendor does after it has answered: jobs that are asked for later, and callbacks when they are done."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from revetl.clock import Clock
from revetl.sandbox.faults import Fault


@dataclass(slots=True)
class VendorJob:
    """`asked` is what the vendor keeps of each record, `result` what it answers once the job is settled."""

    id: str
    key: str
    asked: list[Any]
    ready_at: float
    started: float
    result: dict[str, Any] = field(default_factory=dict)
    settled: bool = False


class VendorJobs:
    """Ready after `job_s`, or never where that fault struck. Forgotten after `kept_days`."""

    def __init__(self, clock: Clock, job_s: float, kept_days: float) -> None:
        self._clock = clock
        self._job_s = job_s
        self._kept_s = kept_days * 86_400
        self._jobs: dict[str, VendorJob] = {}
        self._open: dict[str, VendorJob] = {}

    def start(self, job_id: str, key: str, asked: list[Any], fault: Fault | None) -> VendorJob:
        never = fault is not None and fault.kind == "never_done"
        ready_at = math.inf if never else self._clock.monotonic() + self._job_s
        job = VendorJob(job_id, key, asked, ready_at, self._clock.now().timestamp())
        self._jobs[job_id] = self._open[job_id] = job
        return job

    def get(self, job_id: str, key: str) -> VendorJob | None:
        """None for a job that never was, is somebody else's or was too long ago."""
        job = self._jobs.get(job_id)
        if job is None or job.key != key or self._clock.now().timestamp() - job.started > self._kept_s:
            return None
        return job

    def due(self) -> list[VendorJob]:
        """Ready, and not yet settled."""
        for job_id in [job.id for job in self._open.values() if job.settled]:
            del self._open[job_id]
        now = self._clock.monotonic()
        return [job for job in self._open.values() if now >= job.ready_at]

    def clear(self) -> None:
        self._jobs.clear()
        self._open.clear()


class Callbacks:
    """Delivers answers to an address that the client named, in the background: again every `every_s` until it is
    taken with a 2xx, `tries` times in all. Only to loopback: the sandbox talks to nobody else."""

    def __init__(self, clock: Clock, tries: int = 6, every_s: float = 60.0) -> None:
        self._clock = clock
        self._tries = tries
        self._every_s = every_s
        self._tasks: set[asyncio.Task[None]] = set()

    def schedule(
        self,
        url: str,
        message: Callable[[], tuple[bytes, Mapping[str, str]]],
        after_s: float,
        fault: Fault | None,
    ) -> None:
        """`message` gives body and headers when it is time. Faults: `callback_late`, `_twice`, `_lost`."""
        kind = fault.kind if fault is not None else ""
        if kind in ("callback_lost", "never_done"):
            return
        if fault is not None and kind == "callback_late":
            after_s += fault.delay_s
        task = asyncio.create_task(self._run(url, message, after_s, times=2 if kind == "callback_twice" else 1))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(
        self, url: str, message: Callable[[], tuple[bytes, Mapping[str, str]]], after_s: float, times: int
    ) -> None:
        await self._clock.sleep(after_s)
        body, headers = message()
        async with aiohttp.ClientSession() as session:
            for _ in range(times):
                await self._deliver(session, url, body, {"Content-Type": "application/json", **headers})

    async def _deliver(self, session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        for attempt in range(self._tries):
            if attempt:
                await self._clock.sleep(self._every_s)
            try:
                async with session.post(url, data=body, headers=headers) as answer:
                    if 200 <= answer.status < 300:
                        return
            except aiohttp.ClientError:
                continue  # nobody listens yet, or no longer: like any other answer that is no 2xx

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    try:
        return parts.hostname == "localhost" or ip_address(parts.hostname).is_loopback
    except ValueError:
        return False
