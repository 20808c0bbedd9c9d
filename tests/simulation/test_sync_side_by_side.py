"""Several engines over one warehouse, each at its own time, dying now and then: never two at once, nothing lost.

On virtual time and from a seed. A stalled engine is one whose lease ends while it waits: it must not write afterwards.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from revetl.errors import LeaseError
from revetl.model import Change, Guardrails
from revetl.state import leases
from tests.support.crashing import Crash
from tests.support.fake_destination import FakeDestination
from tests.support.sync_bench import Bench
from tests.support.virtual_time import run_virtual

ENGINES, RUNS = 3, 4
SEEDS = int(os.environ.get("REVETL_SEEDS", "2"))
_engine: ContextVar[int] = ContextVar("engine")


class Street:
    """A model that changes, engines that come and go, and who was seen writing."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bench = Bench(destination=FakeDestination(batch_rows=2, concurrency=2, latency_s=20.0))
        self.bench.sync_as(guardrails=Guardrails(min_rows=0), mode="mirror", on_leave="archive")
        self.writing: set[int] = set()
        self.refused = self.died = self.together = 0
        self.bench.destination.before_write = self.enter
        self.bench.destination.after_write = self.leave
        self.change_model()

    def change_model(self) -> None:
        keys = [k for k in "abcdefgh" if self.rng.random() < 0.7]
        self.bench.source([(k, f"{k}@x.io", self.rng.choice("XYZ"), self.rng.choice(["Bern", None])) for k in keys])

    def enter(self, _: Sequence[Change]) -> None:
        self.writing.add(_engine.get())
        self.together = max(self.together, len(self.writing))
        if self.rng.random() < 0.05:
            raise Crash

    def leave(self, _: Sequence[Change]) -> None:
        if self.rng.random() < 0.05:
            raise Crash

    @contextmanager
    def as_engine(self, number: int) -> Iterator[None]:
        _engine.set(number)
        try:
            yield
        finally:
            self.writing.discard(number)

    async def engine(self, number: int) -> None:
        for _ in range(RUNS):
            await asyncio.sleep(self.rng.uniform(0, 200))
            if self.rng.random() < 0.5:
                self.change_model()
            try:
                with self.as_engine(number):
                    await self.bench.start(wait_s=self.rng.choice([0.0, 30.0, 1_000.0]))
            except LeaseError:
                self.refused += 1
            except Crash:
                self.died += 1

    async def day(self) -> None:
        await asyncio.gather(*(self.engine(n) for n in range(ENGINES)))
        self.bench.destination.before_write = self.bench.destination.after_write = lambda _: None
        await self.bench.start()

    def model(self) -> dict[object, dict[str, object]]:
        rows = self.bench.rows("SELECT email, firstname, city FROM contacts")
        return {
            r[0]: {k: v for k, v in zip(("email", "firstname", "city"), r, strict=True) if v is not None} for r in rows
        }


def test_engines_side_by_side() -> None:
    streets = [Street(seed) for seed in range(SEEDS)]
    for street in streets:
        run_virtual(street.day())
        assert street.together == 1, "two engines wrote to one sync"
        assert street.bench.destination.by("email") == street.model()
        assert street.bench.rows("SELECT run_id FROM revetl.leases") == [(None,)]
        assert not leases._OURS
    # Otherwise it would show nothing.
    assert min(sum(s.refused for s in streets), sum(s.died for s in streets)) >= 2
