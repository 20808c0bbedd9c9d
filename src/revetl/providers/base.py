"""What the enrichment engine knows of a provider: one question in, one answer out. Money is the engine's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

# hit: at least one output has a value. miss: asked, nothing known. error: the vendor refused this lookup for good (bad
# input); suppressed: the person asked not to be processed (451): never ask anybody again.
AnswerStatus = Literal["hit", "miss", "error", "suppressed"]
# What a verifier says of a value. None where nobody verified it.
Verification = Literal["valid", "invalid", "catch_all", "unknown"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question. `inputs` by the spec's input names (`first_name`, `company_domain`, …), none empty."""

    inputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProvidedValue:
    """One output. `confidence` is 0 to 1 after the spec's scaling, None where the vendor gives none."""

    field: str
    value: str
    confidence: float | None = None
    verification: Verification | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `charged_usd` is what the spec's price says, or the vendor's own credit header if any.
    `response` is the body as JSON data, without secrets."""

    status: AnswerStatus
    http_status: int
    values: tuple[ProvidedValue, ...] = ()
    charged_usd: Decimal = Decimal(0)
    latency_ms: int = 0
    response: Any = None
    error_code: str | None = None
    credits: Mapping[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """One vendor endpoint under one account. `spec` is `revetl.providers.spec.ProviderSpec` (or has its attributes)."""

    name: str

    async def __aenter__(self) -> Provider: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def ask(self, lookup: Lookup) -> Answer:
        """One paid call. Throttling is waited out inside (nothing was charged). Raises `Denied` (credentials, out of
        credits), `Unavailable` (certainly not processed) or `Ambiguous` (may have been charged)."""
        ...

    @property
    def requests(self) -> int: ...
