"""A vendor that takes batches as jobs: paid for when submitted, done later, fetched by id for nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from revetl.errors import Ambiguous, Unavailable
from revetl.providers.base import Answer, Lookup, OnRequestId, Reply
from revetl.providers.grammar import ProviderSpec


class JobVendor:
    """Bills each lookup of a submission by `script(inputs)`. `bill` and `jobs` are the vendor's: they survive whatever
    happens to us. `dies` is called at each moment of a batch, by name, and may raise; `slow` leaves jobs undone."""

    def __init__(self, spec: ProviderSpec, script: Callable[[Mapping[str, str]], Answer], size: int = 3) -> None:
        self.spec = spec
        self.name = spec.name
        self.script = script
        self.batch_size = size
        self.bill: Counter[tuple[str, ...]] = Counter()
        self.billed_usd = Decimal(0)
        self.jobs: dict[str, dict[str, Answer]] = {}
        self.sizes: list[int] = []
        self.fetched: list[str] = []
        self.dies: Callable[[str], None] = lambda moment: None
        self.slow = False
        self.canceled = False

    async def __aenter__(self) -> JobVendor:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @property
    def requests(self) -> int:
        return len(self.sizes)

    async def ask(self, lookup: Lookup) -> Answer:
        reply = (await self.ask_many([lookup]))[0]
        assert isinstance(reply, Answer)
        return reply

    async def ask_many(self, lookups: Sequence[Lookup], on_request_id: OnRequestId | None = None) -> Sequence[Reply]:
        self.dies("submit")
        job_id = f"job-{len(self.jobs) + 1}"
        self.jobs[job_id] = {lookup.ref: self.script(lookup.inputs) for lookup in lookups}
        self.sizes.append(len(lookups))
        for lookup in lookups:
            self.bill[tuple(sorted(lookup.inputs.values()))] += 1
        self.billed_usd += sum((a.charged_usd for a in self.jobs[job_id].values()), Decimal(0))
        self.dies("submitted")
        if on_request_id is not None:
            await on_request_id(job_id, lookups)
        self.dies("noted")
        await asyncio.sleep(30)
        self.dies("polled")
        if self.slow:
            raise Ambiguous("not done in time")
        return [self.jobs[job_id][lookup.ref] for lookup in lookups]

    async def resume(self, request_id: str, lookups: Sequence[Lookup]) -> Sequence[Reply]:
        self.fetched.append(request_id)
        await asyncio.sleep(1)
        self.dies("resumed")
        if self.slow or request_id not in self.jobs:
            raise Ambiguous("not known or not done")
        if self.canceled:
            return [Unavailable("the job was canceled")] * len(lookups)
        return [self.jobs[request_id][lookup.ref] for lookup in lookups]
