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
from revetl.subprocesses import start_python, stop

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
        try:
            return await self._ended(process, stop)
        finally:
            if process.poll() is None:  # we are cancelled: nothing of it stays behind
                await asyncio.to_thread(self._end, process)

    async def _ended(self, process: subprocess.Popen[Any], stop: asyncio.Event) -> int:
        deadline: float | None = None
        while (code := process.poll()) is None:
            if stop.is_set():
                if deadline is None:
                    deadline = self._clock.monotonic() + PATIENCE_S
                    with suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGTERM)
                elif self._clock.monotonic() > deadline:
                    await asyncio.to_thread(self._end, process)
                    return INTERRUPTED
            await self._clock.sleep(_POLL_S)
        return code if code >= 0 else 1  # ended by a signal that it did not take

    def _end(self, process: subprocess.Popen[Any]) -> None:
        stop(process)
