"""What an endpoint costs, and where the vendor says what it took."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from revetl.providers.grammar.model import GrammarModel, Pointer, Usd


class PriceGroup(GrammarModel):
    """An addition to the price where at least one of these fields has a value."""

    fields: Annotated[tuple[str, ...], Field(min_length=1)]
    usd: Usd


class NumberLocation(GrammarModel):
    """Where a number stands: in a response header or in the body."""

    header: str | None = None
    at: Pointer | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.header is None) == (self.at is None):
            raise ValueError("say where it stands: either 'header' or 'at'")
        return self


class Credits(GrammarModel):
    """What the vendor itself says of its credits. `header` or `at`: where it says how many a request took; `usd`: what
    one costs. `remaining`: where it says how many the account has left. Of a job, it is the result that says so."""

    header: str | None = None
    at: Pointer | None = None
    usd: Usd | None = None
    remaining: NumberLocation | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        places = [place for place in (self.header, self.at) if place is not None]
        if len(places) > 1 or (not places and self.remaining is None):
            raise ValueError("say where the credits stand: either 'header' or 'at'")
        if bool(places) != (self.usd is not None):
            raise ValueError("'usd' goes with 'header' or 'at', and only with them")
        return self

    @property
    def charged(self) -> NumberLocation | None:
        return None if self.header is None and self.at is None else NumberLocation(header=self.header, at=self.at)


class FreeWhen(GrammarModel):
    """The answer was free where the value at the pointer is `equals`, or one of a list."""

    at: Pointer
    equals: Any


class EndpointPrice(GrammarModel):
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
