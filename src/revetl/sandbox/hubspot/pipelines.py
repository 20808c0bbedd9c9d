"""Pipelines and their stages. Deals, tickets and the account's own types have some; the others answer with none."""

from __future__ import annotations

from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.account import Pipeline, PipelineStage
from revetl.sandbox.hubspot.portal import PortalCall, Reply
from revetl.sandbox.hubspot.query import is_asked
from revetl.sandbox.hubspot.store import iso_ms


def list_all(call: PortalCall) -> Reply:
    return 200, {"results": [_json(p) for p in _ordered(_pipelines(call))]}


def read(call: PortalCall) -> Reply:
    return 200, _json(_pipeline(call))


def create(call: PortalCall) -> Reply:
    if call.type in call.portal.custom:
        call.portal.pipelines.setdefault(call.type, {})
    if call.type not in call.portal.pipelines:
        raise errors.invalid_input(f"{call.type} have no pipelines")
    fields = call.fields
    id_ = str(fields.get("pipelineId") or _next_id(call))
    if id_ in _pipelines(call):
        raise errors.invalid_input(f"A pipeline with the id {id_} exists already")
    now = call.portal.now_ms()
    pipeline = Pipeline(id_, _label(fields), _order(fields), {}, now, now)
    for stage in fields.get("stages") or []:
        _add_stage(call, pipeline, stage)
    _pipelines(call)[id_] = pipeline
    return _changed(call, 201, _json(pipeline))


def replace(call: PortalCall) -> Reply:
    """The whole pipeline, its stages too (spec)."""
    lacking = [name for name in ("displayOrder", "label", "stages") if name not in call.fields]
    if lacking:
        raise errors.invalid_json(f"some required fields were not set: {lacking}")
    return update(call)


def update(call: PortalCall) -> Reply:
    """What is given; stages that are given take the place of all that there were."""
    pipeline, fields = _pipeline(call), call.fields
    whole = "stages" in fields
    changed = Pipeline(
        pipeline.id,
        _label(fields, pipeline.label),
        _order(fields, pipeline.order),
        {} if whole else pipeline.stages,
        pipeline.created_ms,
        call.portal.now_ms(),
    )
    for stage in fields.get("stages") or []:
        _add_stage(call, changed, stage)
    _pipelines(call)[pipeline.id] = changed
    return _changed(call, 200, _json(changed))


def archive(call: PortalCall) -> Reply:
    pipeline = _pipeline(call)
    if is_asked(call, "validateReferencesBeforeDelete"):
        _refuse_used(call, 0, [pipeline.id])
    del _pipelines(call)[pipeline.id]
    return _changed(call, 204, None)


# Stages


def list_stages(call: PortalCall) -> Reply:
    return 200, {"results": [_stage_json(s) for s in _ordered(_pipeline(call).stages)]}


def read_stage(call: PortalCall) -> Reply:
    return 200, _stage_json(_stage(call))


def create_stage(call: PortalCall) -> Reply:
    return _changed(call, 201, _stage_json(_add_stage(call, _pipeline(call), call.fields)))


def replace_stage(call: PortalCall) -> Reply:
    """The whole stage (spec)."""
    lacking = [name for name in ("displayOrder", "label", "metadata") if name not in call.fields]
    if lacking:
        raise errors.invalid_json(f"some required fields were not set: {lacking}")
    return update_stage(call)


def update_stage(call: PortalCall) -> Reply:
    stage, fields = _stage(call), call.fields
    stage.label, stage.order = _label(fields, stage.label), _order(fields, stage.order)
    stage.metadata = _metadata(call, {**stage.metadata, **(fields.get("metadata") or {})})
    stage.updated_ms = call.portal.now_ms()
    return _changed(call, 200, _stage_json(stage))


def archive_stage(call: PortalCall) -> Reply:
    stage = _stage(call)
    if is_asked(call, "validateReferencesBeforeDelete"):
        _refuse_used(call, 1, [stage.id])
    del _pipeline(call).stages[stage.id]
    return _changed(call, 204, None)


def _add_stage(call: PortalCall, pipeline: Pipeline, fields: Any) -> PipelineStage:
    if not isinstance(fields, dict):
        raise errors.invalid_json("a stage must be an object")
    id_ = str(fields.get("stageId") or fields.get("id") or _next_id(call))
    taken = {s for other in _pipelines(call).values() if other.id != pipeline.id for s in other.stages}
    if id_ in pipeline.stages or id_ in taken:
        raise errors.invalid_input(f"A stage with the id {id_} exists already")
    now = call.portal.now_ms()
    stage = PipelineStage(id_, _label(fields), _order(fields), _metadata(call, fields.get("metadata")), now, now)
    pipeline.stages[id_] = stage
    return stage


def _metadata(call: PortalCall, given: Any) -> dict[str, str]:
    """A deal's stage must have a probability from 0.0 to 1.0; a ticket's may say that it is closed (docs)."""
    if call.type != "deals":
        metadata = {str(name): str(value) for name, value in (given if isinstance(given, dict) else {}).items()}
        if metadata.setdefault("ticketState", "OPEN") not in ("OPEN", "CLOSED"):
            raise errors.invalid_input("metadata.ticketState must be OPEN or CLOSED")
        return metadata
    if not isinstance(given, dict):
        raise errors.invalid_json("some required fields were not set: [metadata]")
    metadata = {str(name): str(value) for name, value in given.items()}
    try:
        probability = float(metadata.get("probability", ""))
    except ValueError:
        probability = -1.0
    if not 0.0 <= probability <= 1.0:
        raise errors.invalid_input("metadata.probability of a deal's stage must be between 0.0 and 1.0")
    metadata.setdefault("isClosed", "true" if probability in (0.0, 1.0) else "false")
    return metadata


def _pipelines(call: PortalCall) -> dict[str, Pipeline]:
    call.portal.store(call.type)
    return call.portal.pipelines.get(call.type, {})


def _pipeline(call: PortalCall) -> Pipeline:
    found = _pipelines(call).get(call.match["pipeline"])
    if found is None:
        raise errors.not_found(f"Pipeline {call.match['pipeline']} does not exist")
    return found


def _stage(call: PortalCall) -> PipelineStage:
    found = _pipeline(call).stages.get(call.match["stage"])
    if found is None:
        raise errors.not_found(f"Stage {call.match['stage']} does not exist")
    return found


def _refuse_used(call: PortalCall, which: int, ids: list[str]) -> None:
    name = call.store.pipeline_properties[which]
    used = [r.id for r in call.store.records.values() if r.values.get(name) in ids]
    if used:
        raise errors.invalid_input(f"{name} {ids[0]} is used by {len(used)} {call.type}")


def _changed(call: PortalCall, status: int, body: Any) -> Reply:
    call.portal.set_up()
    call.portal.version += 1
    return status, body


def _next_id(call: PortalCall) -> str:
    call.portal.last_id += 1
    return str(call.portal.last_id)


def _ordered(found: dict[str, Any]) -> list[Any]:
    return sorted(found.values(), key=lambda one: one.order)


def _label(fields: dict[str, Any], default: str = "") -> str:
    label = str(fields.get("label") or default)
    if not label:
        raise errors.invalid_json("some required fields were not set: [label]")
    return label


def _order(fields: dict[str, Any], default: int = 0) -> int:
    order = fields.get("displayOrder", default)
    if not isinstance(order, int):
        raise errors.invalid_json("displayOrder must be a number")
    return order


def _json(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "id": pipeline.id,
        "label": pipeline.label,
        "displayOrder": pipeline.order,
        "stages": [_stage_json(s) for s in _ordered(pipeline.stages)],
        "createdAt": iso_ms(pipeline.created_ms),
        "updatedAt": iso_ms(pipeline.updated_ms),
        "archived": False,
    }


def _stage_json(stage: PipelineStage) -> dict[str, Any]:
    return {
        "id": stage.id,
        "label": stage.label,
        "displayOrder": stage.order,
        "metadata": stage.metadata,
        "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
        "createdAt": iso_ms(stage.created_ms),
        "updatedAt": iso_ms(stage.updated_ms),
        "archived": False,
    }
