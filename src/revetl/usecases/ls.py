"""`revetl ls`: what a project declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from revetl.usecases.renames import orphaned

if TYPE_CHECKING:
    from revetl.model import SyncSpec
    from revetl.project import Project
    from revetl.state.renaming import OrphanedState
    from revetl.usecases.caller import Caller


def declared(
    project: Project, select: Sequence[str] = (), exclude: Sequence[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """Kind → what is declared of it, as plain values. dbt parses the project first where it changed: a sync that was
    just written is among them. DbtFailed with its reason where it can't."""
    # Where dbt is not here and has left nothing, nobody has said yet what the syncs are.
    parsed = project.built or project.dbt() is not None
    syncs = project.syncs(select, exclude, verified=False) if parsed and project.manifest else []
    return {
        "syncs": [_sync(spec) for spec in syncs],
        "waterfalls": [
            {"name": name, "entity": w.entity, "fields": list(w.fields)} for name, w in project.waterfalls.items()
        ],
        "providers": [{"name": name, "vendor": p.vendor} for name, p in project.providers.items()],
        "destinations": [
            {"name": name, **_connector(project.connections.destination_type(name))}
            for name in project.connections.names("destinations")
        ],
    }


def nothing_chosen(project: Project, select: Sequence[str], exclude: Sequence[str]) -> str:
    """Why there is no sync to plan or to send: none is declared, or none of the declared ones was chosen."""
    declared_ones = [spec.name for spec in project.syncs(verified=False)]
    if not declared_ones:
        return "No model declares a sync (config.meta.revetl): nothing to send. `revetl ls` names state that is left."
    said = [*(f"-s {each}" for each in select), *(f"--exclude {each}" for each in exclude)]
    if not said:
        return "Every sync was disconnected: nothing to send."
    return f"{' '.join(said)} leaves none of the syncs {', '.join(declared_ones)}: nothing to send."


def orphans(project: Project, caller: Caller) -> list[OrphanedState]:
    """State in the warehouse of syncs that the project does not declare. WarehouseError where it can't be opened."""
    with caller.warehouse(project) as warehouse:
        return orphaned(project, warehouse) if warehouse.tables(warehouse.state_schema) else []


def _sync(spec: SyncSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "destination": spec.destination,
        "object": spec.object,
        "mode": spec.mode,
        "key": spec.key,
        "match_on": spec.match_on,
        "key_property": spec.key_property,
        "columns": list(spec.sent_columns),
        "declared": spec.where,
    }


def _connector(type_: str) -> dict[str, str | None]:
    """`package` brings the connector; None where none that is installed does."""
    from revetl.destinations.registry import connectors

    connector = connectors().get(type_)
    return {"type": type_, "package": connector.package if connector else None}
