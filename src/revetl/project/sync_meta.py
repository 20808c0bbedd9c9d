"""`config.meta.revetl` of a model: the keys that declare a sync, their defaults, and what each means."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from revetl.model import FieldPolicy, Guardrails, Metadata, Mode, OnLeave, OptionsRule, WhenNull
from revetl.schedules.spec import ScheduleSpec


class _Meta(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReferenceMeta(_Meta):
    """Which record a column names: `to`, or `object` with `match_on`."""

    to: str | None = Field(default=None, description="The sync, of any destination, whose key stands in the column.")
    object: str | None = Field(default=None, description="The object of this destination whose record is named.")
    match_on: str | None = Field(default=None, description="The field of that object that holds the column's value.")


class FieldMeta(_Meta):
    policy: FieldPolicy = Field(default="always", description="When the column is written.")
    when_null: WhenNull = Field(default="clear", description="What a null does at the destination.")
    options: OptionsRule = Field(
        default="merge",
        description="Of a multi-select: merge leaves options that people added, replace takes them away.",
    )
    references: ReferenceMeta | None = Field(
        default=None, description="The column names another record: its id there is sent in place of the value."
    )


class GuardrailsMeta(_Meta):
    max_changed_share: float | None = Field(default=None, ge=0, le=1, description="Of the known records.")
    max_deleted_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Of the known records. Left out: 0.1 for a mirror that archives, erases or clears. null: no limit.",
    )
    max_unlinked_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Of the links that the sync made, those of people on lists among them. Left out: what"
        " `max_deleted_share` says, or else 0.1 where more than ten would be removed. null: no limit.",
    )
    min_rows: int = Field(default=1, ge=0, description="A model with fewer rows is not synced.")
    max_creates: int | None = Field(default=None, ge=0, description="New records at the destination in one run.")
    max_fill_drop: float | None = Field(
        default=0.5,
        ge=0,
        le=1,
        description="By how much the share of rows in which a field has a value may fall, 0.5 being from 90 % to 40 %.",
    )
    max_waiting: int = Field(
        default=0, ge=0, description="Refused records that may wait while a run ends with 0. Stops nothing."
    )


class AssociateMeta(_Meta):
    to: str | None = Field(default=None, description="The sync that holds the other record.")
    object: str | None = Field(default=None, description="In place of `to`: the object of a record of no sync.")
    match_on: str | None = Field(default=None, description="With `object`: the field by which it is looked up.")
    by: str = Field(description="Our column with the other record's key, or with what `match_on` holds.")
    type: int = Field(description="The vendor's id for this kind of link.")


class SyncMeta(_Meta):
    """`config.meta.revetl` of an activation model."""

    destination: str = Field(description="A name in connections.yml.")
    object: str = Field(description="The destination's object: contacts, companies, …")
    key: str = Field(description="The column that is unique and not null: identity in our state.")
    match_on: str | None = Field(default=None, description="The column by which a new record is looked for there.")
    key_property: str | None = Field(
        default=None,
        min_length=1,
        description="The destination's field that is given the key, so that a record is found again whatever else has"
        " changed. No other sync of the object may name it.",
    )
    create_properties: list[str] = Field(
        default=[],
        description="Columns for which the destination is given a field, typed as the column, where it has none of that"
        " name. Any other column without a field is a mistake.",
    )
    mode: Mode = "upsert"
    on_leave: OnLeave = Field(
        default="ignore",
        description="What becomes of a record that left the model. mirror: archive, clear, ignore, or erase, which"
        " nobody can take back. upsert and update: ignore, or forget where the model holds only what differs: a row"
        " that comes back is sent again.",
    )
    fields: dict[str, FieldMeta] = {}
    guardrails: GuardrailsMeta = GuardrailsMeta()
    associate: list[AssociateMeta] = []
    metadata: dict[str, Metadata] = Field(
        default={}, description="Fields that are written with every record that is sent: the run's moment or its id."
    )
    redirects: str | None = Field(
        default=None,
        description="mirror: the model that says which key took the place of one that is over (golden_id_redirects). A"
        " record that left since two became one at home is then withheld, not archived or cleared, and named with the"
        " record that it is to be merged into.",
    )
    renamed_from: str | None = Field(
        default=None, description="The sync's name until now: its snapshot, links and waiting records are taken over."
    )
    schedule: ScheduleSpec | None = Field(default=None, description="When `revetl serve` runs it.")

    @property
    def deletes(self) -> bool:
        """Whether a record that left the model is taken away at the destination, or its values are."""
        return self.mode == "mirror" and self.on_leave != "ignore"

    def guardrails_in_force(self) -> Guardrails:
        """What is written, and where a sync deletes a limit for that in any case. A model that holds only what differs
        may be empty."""
        said = self.guardrails
        declared = "max_deleted_share" in said.model_fields_set
        found = Guardrails(**said.model_dump(), deletes_declared=declared)
        if "max_unlinked_share" in said.model_fields_set:
            found = replace(
                found, max_unlinked_share=1.0 if found.max_unlinked_share is None else found.max_unlinked_share
            )
        elif not declared:
            found = replace(found, max_unlinked_share=UNLINKED_SHARE, few_unlinked=FEW_UNLINKED)
        if self.on_leave == "forget" and "min_rows" not in said.model_fields_set:
            found = replace(found, min_rows=0)  # nothing differs: a good day
        return found if declared or not self.deletes else replace(found, max_deleted_share=DELETED_SHARE)


# Of the known records, in one run of a mirror whose yml says no other. A join that loses a branch of the customers
# takes more; people who leave from one run to the next are fewer.
DELETED_SHARE = 0.1

# Of the links of a sync whose yml says no other: a model that lost the column which names the other records would take
# all of them away. Of so few a person looks at each, and a small model changes a tenth of its links on any day.
UNLINKED_SHARE = 0.1
FEW_UNLINKED = 10
