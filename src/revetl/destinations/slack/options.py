"""What stands under an output of type `slack` in connections.yml."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

OnChange = Literal["ignore", "update", "thread"]


class Options(BaseModel):
    """A bot token, or an incoming webhook: a webhook can neither read, change nor delete what it sent.

    `history`: the token may read the channel (scope channels:history or groups:history), so a message whose answer was
    lost is looked for before it is sent again. `look_back_days`: how far. `on_change`: what a row that changed means
    for its message: nothing, an edit, or a reply below it. `unfurl_links`: whether Slack shows what links lead to.
    `concurrency`: messages under way at once, where answers take longer than the second that a message may cost. Above
    1 they may arrive in another order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: SecretStr | None = Field(default=None, min_length=1)
    webhook_url: SecretStr | None = Field(default=None, min_length=1)
    base_url: str = Field(default="https://slack.com/api", pattern=r"^https?://[^/?#]+(/[^?#]*)?$")
    history: bool = True
    look_back_days: int = Field(default=7, ge=1, le=90)
    on_change: OnChange = "ignore"
    unfurl_links: bool = False
    concurrency: int = Field(default=1, ge=1, le=5)
    allow_insecure: bool = False

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.token is None) == (self.webhook_url is None):
            raise ValueError("write `token` or `webhook_url`, and not both")
        if self.webhook_url is not None and self.on_change != "ignore":
            raise ValueError("on_change needs a `token`: a webhook can't change what it sent")
        return self
