"""What an administrator sets up in the account: owners, pipelines and groups of properties."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from revetl.sandbox.hubspot.object_types import STANDARD_TYPES

_SET_UP_MS = int(datetime(2024, 1, 15, 9, 0, tzinfo=UTC).timestamp() * 1000)


@dataclass(slots=True)
class PortalOwner:
    """Somebody to whom records are assigned. Records hold `id`; `user_id` is another number (docs). `archived`: the
    person was deactivated."""

    id: str
    email: str
    first_name: str
    last_name: str
    user_id: int
    archived: bool = False
    created_ms: int = _SET_UP_MS


@dataclass(slots=True)
class PipelineStage:
    """`metadata` holds texts: `probability` and `isClosed` of a deal's stage (docs)."""

    id: str
    label: str
    order: int
    metadata: dict[str, str]
    created_ms: int = _SET_UP_MS
    updated_ms: int = _SET_UP_MS


@dataclass(slots=True)
class Pipeline:
    id: str
    label: str
    order: int
    stages: dict[str, PipelineStage] = field(default_factory=dict)
    created_ms: int = _SET_UP_MS
    updated_ms: int = _SET_UP_MS


@dataclass(slots=True)
class PortalList:
    """Of records of one object. `members`: record id → when it was put there."""

    id: str
    name: str
    object_type: str
    processing_type: str
    members: dict[str, int] = field(default_factory=dict)
    created_ms: int = _SET_UP_MS


@dataclass(slots=True)
class PropertyGroup:
    name: str
    label: str
    order: int = -1


def starting_owners() -> dict[str, PortalOwner]:
    """Three who work there and one who has left."""
    people = (
        PortalOwner("710001", "olive@revetl.example", "Olive", "Osei", 910001),
        PortalOwner("710002", "omar@revetl.example", "Omar", "Ortiz", 910002),
        PortalOwner("710003", "oona@revetl.example", "Oona", "Olsen", 910003),
        PortalOwner("710004", "otto@revetl.example", "Otto", "Orban", 910004, archived=True),
    )
    return {o.id: o for o in people}


# The stages that a new account has, with their probability (docs).
_DEAL_STAGES = (
    ("appointmentscheduled", "Appointment Scheduled", "0.2"),
    ("qualifiedtobuy", "Qualified To Buy", "0.4"),
    ("presentationscheduled", "Presentation Scheduled", "0.6"),
    ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
    ("contractsent", "Contract Sent", "0.9"),
    ("closedwon", "Closed Won", "1.0"),
    ("closedlost", "Closed Lost", "0.0"),
)


def starting_pipelines() -> dict[str, dict[str, Pipeline]]:
    """Object type → id → pipeline: deals and tickets move through some from the start."""
    stages = {}
    for i, (id_, label, probability) in enumerate(_DEAL_STAGES):
        closed = "true" if id_.startswith("closed") else "false"
        stages[id_] = PipelineStage(id_, label, i, {"isClosed": closed, "probability": probability})
    labels = ("New", "Waiting on contact", "Waiting on us", "Closed")
    of_tickets = {
        str(i): PipelineStage(str(i), label, i - 1, {"ticketState": "CLOSED" if label == "Closed" else "OPEN"})
        for i, label in enumerate(labels, start=1)
    }
    return {
        "deals": {"default": Pipeline("default", "Sales Pipeline", 0, stages)},
        "tickets": {"0": Pipeline("0", "Support Pipeline", 0, of_tickets)},
    }


def starting_groups(object_type: str) -> dict[str, PropertyGroup]:
    type_ = STANDARD_TYPES.get(object_type)
    name, label = (
        ("information", "Information")
        if type_ is None
        else (f"{type_.singular}information", f"{type_.title} information")
    )
    return {name: PropertyGroup(name, label, 0)}


def dump_pipelines(pipelines: dict[str, dict[str, Pipeline]]) -> dict[str, list[dict[str, Any]]]:
    return {object_type: [asdict(p) for p in of_type.values()] for object_type, of_type in pipelines.items()}


def restore_pipelines(document: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Pipeline]]:
    return {object_type: {p["id"]: _restored(p) for p in found} for object_type, found in document.items()}


def _restored(pipeline: dict[str, Any]) -> Pipeline:
    stages = {id_: PipelineStage(**stage) for id_, stage in pipeline["stages"].items()}
    return Pipeline(**{**pipeline, "stages": stages})
