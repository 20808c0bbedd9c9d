"""ctrl-C and SIGTERM: what is in flight ends and is written down, nothing new begins."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from revetl.cli.options import err_console


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """The first signal asks the run to end in good order; a second ctrl-C ends it at once."""
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)
        err_console().print("Stopping: waiting for the requests in flight. Ctrl-C again to stop at once.")

    numbers = (signal.SIGINT, signal.SIGTERM)
    with suppress(NotImplementedError, RuntimeError):  # not in the main thread, or not on this platform
        for number in numbers:
            loop.add_signal_handler(number, first, number)
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError):
            for number in numbers:
                loop.remove_signal_handler(number)
