"""What a request may say, closed: a field that is not named here is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from revetl.accounts.audit import LONGEST_REASON

MOST_ROWS = 200
# Text of one line: it stands in tables, in logs and on the page. PostgreSQL holds no NUL.
Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_REASON, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
# A key of a record, or what begins one.
KeyText = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Usd = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4})?$")]
Inputs = Annotated[
    dict[Line, Line], Field(min_length=1, max_length=20, json_schema_extra={"additionalProperties": False})
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    reason: Reason | None = Field(default=None, description="Why; kept in the audit log.")


class ReasonBody(_Body):
    """Nothing but why."""


class PlanBody(_Body):
    syncs: list[Line] = Field(min_length=1, max_length=100, description="Names of syncs.")


class RetryBody(_Body):
    codes: list[Line] = Field(default_factory=list, max_length=20, description="Only refusals with these codes.")


class DriftBody(_Body):
    resolve: Literal["accept", "reassert"] | None = Field(
        default=None,
        description="accept: theirs holds. reassert: the next sync writes ours again. Left out: only compared.",
    )


class EnrichmentBody(_Body):
    waterfall: Line
    inputs: Inputs = Field(description="What is known of this one person or company, by the name of the input.")
    max_spend_usd: Usd = Field(description="The most that it may cost, such as 0.50.")


_WHO = ("email", "linkedin_url", "key")


class ErasureBody(_Body):
    """One of the three says who."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [n], "properties": {n: {"type": "string"}}} for n in _WHO]}
    )

    email: Line | None = None
    linkedin_url: Line | None = None
    key: Line | None = Field(default=None, description="The whole golden_id.")

    @model_validator(mode="after")
    def _one(self) -> ErasureBody:
        if sum(value is not None for value in (self.email, self.linkedin_url, self.key)) != 1:
            raise ValueError("exactly one of email, linkedin_url and key says who")
        return self

    def named(self) -> dict[str, str]:
        values = {"email": self.email, "linkedin_url": self.linkedin_url, "key": self.key}
        return {name: value for name, value in values.items() if value is not None}


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(_Query):
    """Nothing."""


class PageQuery(_Query):
    limit: int = Field(default=50, ge=1, le=MOST_ROWS)
    after: KeyText | None = Field(default=None, description="`next` of the page before.")


class LimitQuery(_Query):
    limit: int = Field(default=50, ge=1, le=MOST_ROWS)


class OutcomesQuery(PageQuery):
    status: Literal["ok", "accepted", "rejected", "skipped", "unknown"] | None = None
    search: KeyText | None = Field(default=None, description="The beginning of a key.")


class AuditQuery(LimitQuery):
    after: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = Field(
        default=None, description="`next` of the page before."
    )
    actor: Line | None = None
    subject: Line | None = None
