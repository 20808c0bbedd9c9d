"""Room on this machine's disks for what a run pays for, looked after before a call leaves.

Two places: the DuckDB file, into which answers are written, and the file that they are kept in where that fails
(`answer_spool.py`). In the first there has to be room to spare, or no call leaves. In the second it is taken when the
run begins, since at that time nobody has been paid.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from revetl.context import RunContext
from revetl.enrich.execution.answer_spool import AnswerSpool
from revetl.enrich.execution.run import ConnectedProvider
from revetl.warehouse.disk import folder_of, free_bytes

log = logging.getLogger(__name__)

# DuckDB's log grows to 32 MB before it is folded into the file, which needs as much again meanwhile.
LEAST_FREE = 64 << 20
# An answer with the ledger's copy of it. Most are a tenth of this.
ROOM_A_CALL = 32 << 10
MOST_ROOM = 32 << 20
_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskRoom:
    """Of one run."""

    def __init__(self, ctx: RunContext, providers: Iterable[ConnectedProvider]) -> None:
        self._ctx = ctx
        self._folder = folder_of(ctx.warehouse)
        # A worker has as many calls ahead as are in flight.
        calls = sum(2 * each.spec.at_once * each.batch_size for each in providers)
        self._room = min(calls * ROOM_A_CALL, MOST_ROOM)

    @property
    def shortage(self) -> str | None:
        """Why no call may leave now."""
        if self._folder is None:
            return None
        free = free_bytes(self._folder)
        if free >= LEAST_FREE:
            return None
        return (
            f"{free >> 20} MB are free in {self._folder}; with less than {LEAST_FREE >> 20} MB an answer that is paid"
            " for might not be written, so nothing more was asked"
        )

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Room for the answers in flight, while the block lasts. OSError where the disk is full; where there is no such
        file for another reason the run goes on without, as it does without a folder."""
        spool, run_id = AnswerSpool(self._ctx.state_dir), self._ctx.run_id
        try:
            spool.take_room(run_id, self._room)
        except OSError as e:
            if e.errno in _IS_FULL:
                raise
            log.info("no file for answers that can't be written: %s", e.strerror)
        try:
            yield
        finally:
            spool.give_room_back(run_id)
