"""Runs the commands of a due run, each as a process of its own.

A process, and not a call: what ends badly in it (memory, a driver that crashes) ends alone, it stops in good order by
a signal as it does anywhere, and its exit code is all that it says. docs/adr/0028-scheduled-runs-are-processes.md
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from revetl.clock import Clock, SystemClock
from revetl.schedules.spec import Schedule
from revetl.subprocesses import start_python
from revetl.subprocesses import stop as stop_process

log = logging.getLogger("revetl.service")

INTERRUPTED = 130
_POLL_S = 0.2
PATIENCE_S = 60.0  # of what is in flight when the service stops; what is left is in doubt, and the next run looks at it
_WAIT = "30m"  # for what a person's own command holds


class Launcher(Protocol):
    async def run(self, schedule: Schedule, stop: asyncio.Event) -> int:
        """Runs it to its end and gives the exit code; 130 where `stop` was set and it ended in good order. Not raised:
        what can't be started counts as 1."""
        ...


def commands_of(schedule: Schedule) -> list[list[str]]:
    """What a due run is, as a person would type it. A waterfall spends within its budgets, which it is refused
    without; a sync deletes as one that nobody can be asked about."""
    one = [schedule.subject] if schedule.kind == "sync" else [schedule.model]
    build = [["build", "-s", f"+{one[0]}"]] if schedule.spec.build else []
    if schedule.kind == "sync":
        return [*build, ["sync", "-s", schedule.subject]]
    return [*build, ["enrich", "-w", schedule.subject, "--yes"]]


class SubprocessLauncher:
    """`project`: the flags that say which project, as every command takes them. `started` hears of each process."""

    def __init__(
        self,
        project: Sequence[str],
        *,
        clock: Clock | None = None,
        started: Callable[[subprocess.Popen[Any]], None] = lambda _: None,
    ) -> None:
        self._project = list(project)
        self._clock = clock or SystemClock()
        self._started = started

    async def run(self, schedule: Schedule, stop: asyncio.Event) -> int:
        code = 0
        for command in commands_of(schedule):
            if stop.is_set():
                return INTERRUPTED
            code = await self._command(command, stop)
            if code > 1 or (code and command[0] == "build"):
                break
        return code

    async def _command(self, command: Sequence[str], stop: asyncio.Event) -> int:
        waiting = [] if command[0] == "build" else ["--no-input"]
        flags = [*self._project, *waiting, "--wait", _WAIT, "--quiet", "--log-format", "json"]
        arguments = ["-m", "revetl.cli.main", *command, *flags]
        try:
            # On the main thread: the kernel ends a bound child when the thread that started it is gone.
            process = start_python(arguments, bound=True, stdout=subprocess.DEVNULL)
        except OSError as e:
            log.error("a run can't be started", extra={"command": command[0], "why": e.strerror or type(e).__name__})
            return 1
        self._started(process)
        return await ended(process, stop, self._clock)


async def ended(process: subprocess.Popen[Any], stop: asyncio.Event, clock: Clock) -> int:
    """The exit code of a bound child; 130 where it had to be ended after `stop`. Cancelled, nothing of it stays."""
    try:
        return await _code_of(process, stop, clock)
    finally:
        if process.poll() is None:
            await asyncio.to_thread(stop_process, process)


async def _code_of(process: subprocess.Popen[Any], stop: asyncio.Event, clock: Clock) -> int:
    deadline: float | None = None
    while (code := process.poll()) is None:
        if stop.is_set():
            if deadline is None:
                deadline = clock.monotonic() + PATIENCE_S
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGTERM)
            elif clock.monotonic() > deadline:
                await asyncio.to_thread(stop_process, process)
                return INTERRUPTED
        await clock.sleep(_POLL_S)
    return code if code >= 0 else 1  # ended by a signal that it did not take
