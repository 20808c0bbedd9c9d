"""What an endpoint costs, for how long its answers stand, and how often it may be asked."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from revetl.providers.spec.parts import Name, Part, Pointer, Usd


class PriceGroup(Part):
    """An addition to the price where at least one of these fields has a value."""

    fields: Annotated[tuple[str, ...], Field(min_length=1)]
    usd: Usd


class Place(Part):
    """Where a number stands: in a response header or in the body."""

    header: str | None = None
    at: Pointer | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.header is None) == (self.at is None):
            raise ValueError("say where it stands: either 'header' or 'at'")
        return self


class Credits(Part):
    """What the vendor itself says of its credits. `header` or `at`: where it says how many a request took; `usd`: what
    one costs. `remaining`: where it says how many the account has left. Of a job, it is the result that says so."""

    header: str | None = None
    at: Pointer | None = None
    usd: Usd | None = None
    remaining: Place | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        places = [place for place in (self.header, self.at) if place is not None]
        if len(places) > 1 or (not places and self.remaining is None):
            raise ValueError("say where the credits stand: either 'header' or 'at'")
        if bool(places) != (self.usd is not None):
            raise ValueError("'usd' goes with 'header' or 'at', and only with them")
        return self

    @property
    def charged(self) -> Place | None:
        return None if self.header is None and self.at is None else Place(header=self.header, at=self.at)


class FreeWhen(Part):
    """The answer was free where the value at the pointer is `equals`, or one of a list."""

    at: Pointer
    equals: Any


class Price(Part):
    """What the account pays for one lookup, in a batch too. `per_call_usd` whatever comes back, `per_hit_usd` on a hit
    alone. `held`: the greatest price is taken when asked, and what was not found is given back. `free_when`: how the
    vendor says that this answer took nothing, such as one that was paid for before."""

    per_call_usd: Usd = Decimal(0)
    per_hit_usd: Usd = Decimal(0)
    groups: tuple[PriceGroup, ...] = ()
    credits: Credits | None = None
    held: bool = False
    free_when: FreeWhen | None = None

    @property
    def greatest_usd(self) -> Decimal:
        return self.per_call_usd + self.per_hit_usd + sum((g.usd for g in self.groups), Decimal(0))


class Ttl(Part):
    """For how many days an answer stands before the same may be asked again; `fields` overrides `hit_days` and
    `miss_fields` overrides `miss_days`."""

    hit_days: int = Field(default=180, ge=1)
    miss_days: int = Field(default=30, ge=1)
    fields: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    miss_fields: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


class Window(Part):
    """At most `calls` in any `seconds`."""

    calls: int = Field(ge=1)
    seconds: float = Field(gt=0)


class Limits(Part):
    """How often and how many at once. Endpoints with the same `share` count as one."""

    windows: tuple[Window, ...] = ()
    concurrency: int = Field(default=8, ge=1, le=1000)
    share: Name | None = None
