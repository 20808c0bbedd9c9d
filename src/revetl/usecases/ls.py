"""`revetl ls`: what a project declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from revetl.model import SyncSpec
    from revetl.project import Project


def declared(
    project: Project, select: Sequence[str] = (), exclude: Sequence[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """Kind → what is declared of it, as plain values. Before the first build there are no syncs: dbt has not said what
    they are."""
    syncs = project.syncs(select, exclude, verified=False) if project.built else []
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


def _sync(spec: SyncSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "destination": spec.destination,
        "object": spec.object,
        "mode": spec.mode,
        "key": spec.key,
        "match_on": spec.match_on,
        "columns": list(spec.sent_columns),
        "declared": spec.where,
    }


def _connector(type_: str) -> dict[str, str | None]:
    """`package` brings the connector; None where none that is installed does."""
    from revetl.destinations.registry import connectors

    connector = connectors().get(type_)
    return {"type": type_, "package": connector.package if connector else None}
