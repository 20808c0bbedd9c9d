"""What the enrichment engine sees of a provider: lookups in, one reply for each out. Budgets and the ledger are the
engine's; a provider only says what an answer cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from revetl.errors import CallError

# hit: at least one output has a value. miss: asked, nothing known. error: the vendor refused this lookup for good (bad
# input); suppressed: the person asked not to be processed (451): never ask anybody again.
AnswerStatus = Literal["hit", "miss", "error", "suppressed"]
# What a verifier says of a value. None where nobody verified it.
Verification = Literal["valid", "invalid", "catch_all", "unknown"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question. `inputs` by the spec's input names (`first_name`, `company_domain`, …), none empty.

    `ref` is the engine's name for it, the same whenever the same is asked: a batch sends it along, and the vendor's
    echo of it says which answer is whose, also when a job's result is fetched by a later run.
    """

    inputs: Mapping[str, str]
    ref: str = ""


@dataclass(frozen=True, slots=True)
class ProvidedValue:
    """One output. `confidence` is 0 to 1 after the spec's scaling, None where the vendor gives none."""

    field: str
    value: str
    confidence: float | None = None
    verification: Verification | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `charged_usd` is what the spec's price says, or the vendor's own count of credits if any.
    `response` is the body as JSON data, without secrets; of a batch, the part that is this lookup's. `credits` holds
    `charged` and `remaining` where the vendor says so, in its own units. `empty_hit`: the vendor found something, and
    nothing of it is a value; the status is then miss."""

    status: AnswerStatus
    http_status: int
    values: tuple[ProvidedValue, ...] = ()
    charged_usd: Decimal = Decimal(0)
    latency_ms: int = 0
    response: Any = None
    error_code: str | None = None
    credits: Mapping[str, Decimal] = field(default_factory=dict)
    empty_hit: bool = False


# What came of one lookup of a batch. An error is of the same kinds as `ask` raises, and about this lookup alone.
Reply = Answer | CallError
# Called with the vendor's id of a job and the lookups in it, as soon as the id is there. When it returns, the id is
# durable: only then may the job be waited for.
OnRequestId = Callable[[str, Sequence[Lookup]], Awaitable[None]]


class Provider(Protocol):
    """One vendor endpoint under one account."""

    name: str

    @property
    def batch_size(self) -> int:
        """The most lookups of one `ask_many`; 1 where the vendor takes one at a time."""
        ...

    async def __aenter__(self) -> Provider: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def ask(self, lookup: Lookup) -> Answer:
        """One paid call. Throttling is waited out inside (nothing was charged). Raises `Denied` (credentials, out of
        credits), `Unavailable` (certainly not processed) or `Ambiguous` (may have been charged)."""
        ...

    async def ask_many(self, lookups: Sequence[Lookup], on_request_id: OnRequestId | None = None) -> Sequence[Reply]:
        """Up to `batch_size` lookups with different refs as one request or one job: one reply for each, in their order.

        Where the vendor works on them as a job, `on_request_id` is awaited before anything else is done, once for each
        lookup: a batch may become several jobs. Raises as `ask` where all of them fail alike.
        """
        ...

    async def resume(self, request_id: str, lookups: Sequence[Lookup]) -> Sequence[Reply]:
        """The replies of a job that was submitted earlier, matched by `ref` alone: inputs may be empty. Costs nothing
        and is safe to repeat. Raises `Ambiguous` where the vendor no longer knows the job."""
        ...

    @property
    def requests(self) -> int:
        """HTTP requests sent so far, throttled ones and polls included."""
        ...
