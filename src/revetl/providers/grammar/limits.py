"""How often an endpoint may be asked, and how soon the same again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from revetl.providers.grammar.model import GrammarModel, Name


class Ttl(GrammarModel):
    """For how many days an answer stands before the same may be asked again; `fields` overrides `hit_days` and
    `miss_fields` overrides `miss_days`."""

    hit_days: int = Field(default=180, ge=1)
    miss_days: int = Field(default=30, ge=1)
    fields: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    miss_fields: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


class RateWindow(GrammarModel):
    """At most `calls` in any `seconds`."""

    calls: int = Field(ge=1)
    seconds: float = Field(gt=0)


class EndpointLimits(GrammarModel):
    """How often and how many at once. Endpoints with the same `share` count as one."""

    windows: tuple[RateWindow, ...] = ()
    concurrency: int = Field(default=8, ge=1, le=1000)
    share: Name | None = None
