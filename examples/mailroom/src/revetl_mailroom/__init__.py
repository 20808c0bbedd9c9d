"""Mailroom as a destination of revetl: `type: mailroom` in connections.yml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from revetl.clock import Clock
from revetl.destinations.base import Destination


class Options(BaseModel):
    """What stands under an output in connections.yml. A key that is not here is refused with its line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr = Field(min_length=1)
    base_url: str = "https://api.mailroom.example"
    requests_per_s: int = Field(default=20, ge=1)


def connect(name: str, options: Options, clock: Clock) -> Destination:
    from revetl_mailroom.destination import Mailroom

    return Mailroom(name, options, clock)
