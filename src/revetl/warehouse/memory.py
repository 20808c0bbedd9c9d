"""Who begins a transaction again that ran out of memory. A warehouse can repeat a statement with more, but not a
transaction: what stands between its statements is its caller's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_REPEATED = ContextVar("revetl_repeated_when_short", default=False)


@contextmanager
def repeated_when_short() -> Iterator[None]:
    """Transactions inside may end with a WarehouseOutOfMemory that is `repeatable`; whoever enters this does them
    again. So they can begin with little memory. Of this thread or task only."""
    token = _REPEATED.set(True)
    try:
        yield
    finally:
        _REPEATED.reset(token)


def is_repeated_when_short() -> bool:
    return _REPEATED.get()
