"""ctrl-C, SIGTERM and the end of the terminal (SIGHUP): what is in flight ends and is written down, nothing new begins;
where nothing is in flight, the command ends as after ctrl-C, and what it started with it.

Every command runs inside `interrupted_by_signals`, so nothing is imported here before it is needed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import asyncio

_NUMBERS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt as SIGINT does, where they would have ended the process on the
    spot. One that is ignored, as under `nohup`, stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = [number for number in _NUMBERS if signal.getsignal(number) is signal.SIG_DFL]
    for number in found:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in found:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """The first signal asks the run to end in good order; a second one of its kind ends it at once."""
    import asyncio

    from revetl.cli.options import err_console

    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _NUMBERS}

    def leave(number: signal.Signals) -> None:
        # The loop puts the system's own handler in its place, which would end the process without a word.
        if loop.remove_signal_handler(number) and before.get(number) is _interrupt:
            signal.signal(number, _interrupt)

    def first(number: signal.Signals) -> None:
        stop.set()
        leave(number)
        with suppress(OSError):  # the terminal may be gone
            err_console().print("Stopping: waiting for the requests in flight. Ctrl-C again to stop at once.")

    numbers = [signal.SIGINT, *(n for n in _NUMBERS if before[n] is not signal.SIG_IGN)]
    with suppress(NotImplementedError, RuntimeError):  # not in the main thread, or not on this platform
        for number in numbers:
            loop.add_signal_handler(number, first, number)
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError):
            for number in numbers:
                leave(number)
