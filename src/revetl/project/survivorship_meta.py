"""`config.meta.survivorship` of a model: which value a golden record is given where its records say different things.

The macro in dbt_project/macros/matching/survivorship.sql makes SQL of it (docs/design/matching.md); dbt passes it
through unseen. So `revetl check` reads it, and names a mistake with its line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from revetl.documents import Document, Path_
from revetl.errors import Problem

Criterion = Literal["verification", "completeness", "agreement", "priority", "recency"]
_ORDER: list[Criterion] = ["verification", "completeness", "agreement", "priority", "recency"]


class _Meta(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AttributeMeta(_Meta):
    """One field, or several that belong together and are taken whole from one record: a name, a place, a phone with its
    country."""

    fields: list[str] | None = Field(
        default=None, min_length=1, description="Columns of the records. Default: the one of the attribute's name."
    )
    verified: str | None = Field(default=None, description="A column that is true where the value was verified.")
    prefer: list[Criterion] = Field(
        default=_ORDER,
        min_length=1,
        description="What decides, the first that tells two values apart: a verified record; how many of the fields"
        " have a value; what the records that agree count together; the record that counts most; the newest record.",
    )


class SurvivorshipMeta(_Meta):
    """`config.meta.survivorship` of the model of offered values."""

    key: str = Field(description="The column of the records that is unique and not null.")
    source: str | None = Field(default=None, description="The column that says which system a record is of.")
    updated_at: str | None = Field(default=None, description="The column that says when a record was last changed.")
    priority: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={},
        description="What a record of a source counts where values are weighed, by the source; 1 where it is not named."
        " A source of 3 outweighs two records that agree, not four.",
    )
    attributes: dict[str, AttributeMeta] = Field(min_length=1, description="What is decided as a whole, by its name.")


def survivorship_mistakes(meta: SurvivorshipMeta, document: Document, at: Path_) -> list[Problem]:
    """What pydantic can't see."""
    problems = []
    if meta.priority and meta.source is None:
        problems.append(
            document.problem((*at, "priority"), "nothing says which source a record is of", "Add source: COLUMN.")
        )
    taken: dict[str, str] = {}
    for name, attribute in meta.attributes.items():
        place = (*at, "attributes", name)
        for field in attribute.fields or [name]:
            if field in taken:
                problems.append(document.problem(place, f"{field!r} stands in {taken[field]} too"))
            taken.setdefault(field, name)
        missing = [] if attribute.verified else ["verification"]
        missing += [] if meta.updated_at else ["recency"]
        chosen = attribute.prefer if "prefer" in attribute.model_fields_set else []
        for criterion in chosen:
            if criterion in missing:
                column = "verified" if criterion == "verification" else "updated_at"
                problems.append(document.problem((*place, "prefer"), f"{criterion} needs {column}: no column tells it"))
    return problems
