"""dbt's manifest.json → the declared syncs, with every mistake at its line in the model's yml."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from revetl.documents import Document, Path_, explain, read_yaml
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.model import Association, FieldRule, Reference, Relation, SyncSpec, looked_up_as
from revetl.project.sync_meta import AssociateMeta, ReferenceMeta, SyncMeta
from revetl.project.sync_mistakes import SyncPlace, mistakes


class Manifest:
    """The parsed file; nodes are dbt's own dicts, read only through the methods here."""

    def __init__(self, data: Mapping[str, Any], project_dir: Path) -> None:
        self._data = data
        self._project_dir = project_dir

    @property
    def adapter_type(self) -> str:
        return str(self._data["metadata"].get("adapter_type", ""))

    @cached_property
    def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """Models, seeds, snapshots, tests, sources and unit tests by unique id."""
        return {**self._data["nodes"], **self._data.get("sources", {}), **self._data.get("unit_tests", {})}

    @cached_property
    def selectable(self) -> Mapping[str, Mapping[str, Any]]:
        """All that a selector may name: the nodes, and exposures, metrics and the like."""
        kinds = ("exposures", "metrics", "semantic_models", "saved_queries")
        return {**self.nodes, **{id_: node for kind in kinds for id_, node in self._data.get(kind, {}).items()}}

    @property
    def invocation_id(self) -> str:
        """Of the dbt command that wrote it."""
        return str(self._data["metadata"].get("invocation_id") or "")

    @property
    def project_name(self) -> str:
        return str(self._data["metadata"].get("project_name", ""))

    @property
    def parents(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = self._data["parent_map"]
        return found

    @property
    def children(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = self._data["child_map"]
        return found

    def model_names(self) -> list[str]:
        return sorted(n["name"] for n in self.nodes.values() if n["resource_type"] in ("model", "seed", "snapshot"))

    def relation(self, name: str) -> Relation:
        """The table or view of a model, seed or snapshot; ConfigError with the nearest name where there is none."""
        kinds = ("model", "seed", "snapshot")
        nodes = [n for n in self.nodes.values() if n["name"] == name and n["resource_type"] in kinds]
        # As dbt's ref() does: the project's own before a package's, and of a versioned model the latest.
        nodes = [n for n in nodes if n["package_name"] == self.project_name] or nodes
        nodes = [n for n in nodes if n.get("version") is None or n["version"] == n.get("latest_version")] or nodes
        if len(nodes) > 1:
            which = ", ".join(f"{n['package_name']}.{_with_version(n)}" for n in nodes)
            raise ConfigError(f"several models are named {name!r}: {which}")
        if nodes:
            return _relation(nodes[0])
        raise ConfigError(f"no model {name!r} in the dbt project", hint=did_you_mean(name, self.model_names()))

    def sources(self) -> list[Relation]:
        """The tables that other software fills, by name. Without those of revetl's own schema."""
        nodes = [n for n in self._data.get("sources", {}).values() if n["source_name"] != "revetl"]
        found = {Relation(str(n["schema"]), str(n["identifier"]), n.get("database")) for n in nodes}
        return sorted(found, key=lambda r: (r.schema, r.name))

    def model_id(self, name: str) -> str | None:
        """The unique id of the model, seed or snapshot that `relation` finds by this name; None where there is none."""
        wanted = self.relation(name) if name in self.model_names() else None
        found = (id_ for id_, n in self.nodes.items() if n["name"] == name and wanted == _relation_of_rows(n))
        return next(found, None)

    def source_moments(self, name: str) -> list[tuple[Relation, str]]:
        """Of the sources that this model is built from: the table, and the column or expression that says when a row
        was loaded. Those that declare none are left out."""
        todo, seen = [id_ for id_ in (self.model_id(name),) if id_ is not None], set[str]()
        while todo:
            if (id_ := todo.pop()) not in seen:
                seen.add(id_)
                todo += self.parents.get(id_, [])
        found = []
        for id_ in sorted(seen):
            node = self.nodes.get(id_, {})
            said = node.get("loaded_at_field") or (node.get("config") or {}).get("loaded_at_field")
            if node.get("resource_type") == "source" and said:
                found.append((Relation(str(node["schema"]), str(node["identifier"]), node.get("database")), str(said)))
        return found

    def place(self, name: str) -> SyncPlace | None:
        """Where the sync of that name is declared."""
        return next((self._place(n) for n in self.sync_nodes().values() if n["name"] == name), None)

    def sync_nodes(self) -> dict[str, Mapping[str, Any]]:
        """Unique id → node of every model that declares a sync."""
        return {
            id_: node
            for id_, node in self.nodes.items()
            if node["resource_type"] == "model" and "revetl" in (node.get("config", {}).get("meta") or {})
        }

    def checks_of(self, id_: str) -> list[str]:
        """The tests and unit tests of this node. A relationship test belongs to the node it is written on."""
        return [
            child
            for child in self.children.get(id_, [])
            if child.startswith(("test.", "unit_test."))
            and self.nodes.get(child, {}).get("attached_node", None) in (None, id_)
        ]

    def syncs(self, destinations: Mapping[str, str]) -> list[SyncSpec]:
        """Every declared sync, those that others associate to first. `destinations`: the declared names and types.

        ConfigError with every mistake of every model.
        """
        specs: list[SyncSpec] = []
        problems = self._of_one_name()
        written = {str(n["name"]): n["config"]["meta"]["revetl"] for n in self.sync_nodes().values()}
        declared = {name: meta if isinstance(meta, dict) else {} for name, meta in written.items()}
        for node in self.sync_nodes().values():
            place = self._place(node)
            unclear = place.document.unclear_numbers(place.at) if place.at else []
            problems.extend(unclear)
            try:
                meta = SyncMeta.model_validate(node["config"]["meta"]["revetl"])
            except ValidationError as e:
                problems.extend(explain(e, place.document, SyncMeta, place.at))
                continue
            found = mistakes(meta, node, place, list(destinations), declared)
            redirects = None
            try:
                redirects = None if meta.redirects is None else self.relation(meta.redirects)
            except ConfigError as e:
                found.append(place.problem(("redirects",), e.problems[0].message, e.problems[0].hint))
            problems.extend(found)
            if not (found or unclear):
                specs.append(replace(_spec(meta, node, place, declared), redirects=redirects))
        if problems:
            raise ConfigError(problems)
        return _ordered(specs)

    def _of_one_name(self) -> list[Problem]:
        """A sync has the name of its model, and its state has that name: two of them would share it."""
        by_name: dict[str, list[Mapping[str, Any]]] = {}
        for node in self.sync_nodes().values():
            by_name.setdefault(str(node["name"]), []).append(node)
        problems = []
        for name, (first, *others) in by_name.items():
            if not others:
                continue
            nodes = [first, *others]
            if len({n["package_name"] for n in nodes}) > 1:
                which = ", ".join(f"{n['package_name']}.{_with_version(n)}" for n in nodes)
                hint = (
                    f"A sync has its model's name: give one model another, or say `+enabled: false` for {name} of one."
                )
            else:
                which = ", ".join(_with_version(n) for n in nodes)
                hint = "Write `config: {meta: {revetl: …}}` below the one version under `versions:` that is to be sent."
            problems.append(self._place(first).problem((), f"one sync is declared by several models: {which}", hint))
        return problems

    def above(self, names: Iterable[str]) -> set[str]:
        """The names of these models, seeds and snapshots and of all that they are built from."""
        todo = [id_ for id_, node in self.nodes.items() if node["name"] in set(names) and "attached_node" not in node]
        seen: set[str] = set()
        while todo:
            if (id_ := todo.pop()) not in seen:
                seen.add(id_)
                todo += self.parents.get(id_, [])
        return {str(self.nodes[id_]["name"]) for id_ in seen if id_ in self.nodes}

    def is_table(self, name: str) -> bool:
        """Whether the rows of this synced model are of its last build: a view's are those of now."""
        return any(n["name"] == name and self.holds_rows(id_) for id_, n in self.sync_nodes().items())

    def holds_rows(self, id_: str) -> bool:
        """Whether the node's rows are those of its last build. Not so for a view, nor for what the warehouse refreshes
        by itself (materialized views, dynamic tables), nor where a package's own materialization does who knows what.
        """
        node = self.nodes[id_]
        kinds = ("table", "incremental", "seed", "snapshot")
        return node["resource_type"] in ("seed", "snapshot") or node["config"].get("materialized") in kinds

    def is_ephemeral(self, id_: str) -> bool:
        return bool(self.nodes[id_].get("config", {}).get("materialized") == "ephemeral")

    def shown_by(self, id_: str) -> list[str]:
        """The nodes whose rows a view shows as they are now, and the views between: up to the nearest that hold rows,
        sources included. Empty for what holds rows itself."""
        found: dict[str, None] = {}
        todo = [id_]
        while todo:
            at = todo.pop()
            if self.nodes[at]["resource_type"] != "source" and not self.holds_rows(at):
                above = [p for p in self.parents.get(at, []) if p in self.nodes and p not in found and p != id_]
                found |= dict.fromkeys(above)
                todo += above
        return sorted(found)

    def _place(self, node: Mapping[str, Any]) -> SyncPlace:
        """The yml and the path in it; the model's own file where the sync is declared in SQL or in dbt_project.yml."""
        patch = str(node.get("patch_path") or "").partition("://")[2]
        sql = self._project_dir / str(node["original_file_path"])
        if patch and (self._project_dir / patch).is_file():
            document = read_yaml(self._project_dir / patch)
            for i, model in enumerate((document.data or {}).get("models") or []):
                if isinstance(model, dict) and model.get("name") == node["name"]:
                    return SyncPlace(document, ("models", i, *_version_of(node, model), "config", "meta", "revetl"))
        return SyncPlace(Document(sql, None, {}), ())


def _version_of(node: Mapping[str, Any], model: Mapping[str, Any]) -> Path_:
    """Where the entry of this version is, if the sync is declared in it."""
    for i, version in enumerate(model.get("versions") or []):
        declared = (version.get("config") or {}).get("meta") or {} if isinstance(version, dict) else {}
        if "revetl" in declared and str(version.get("v")) == str(node.get("version")):
            return ("versions", i)
    return ()


def read_manifest(target_dir: Path, project_dir: Path) -> Manifest:
    """ConfigError where dbt has not run yet or what it wrote can't be read."""
    path = target_dir / "manifest.json"
    try:
        data = json.loads(path.read_bytes())
        if not isinstance(data, dict):
            raise ValueError("no object")
        return Manifest(data, project_dir)
    except FileNotFoundError:
        raise ConfigError("the dbt project has not been built", hint="`revetl build` builds it.") from None
    except (ValueError, RecursionError):
        message = "not a manifest: dbt may have been stopped while it wrote"
        raise ConfigError(Problem(message, path, hint="`revetl build` writes it anew.")) from None


def _with_version(node: Mapping[str, Any]) -> str:
    """As dbt's selectors name it."""
    return str(node["name"]) if node.get("version") is None else f"{node['name']}.v{node['version']}"


def _relation_of_rows(node: Mapping[str, Any]) -> Relation | None:
    return _relation(node) if node["resource_type"] in ("model", "seed", "snapshot") else None


def _relation(node: Mapping[str, Any]) -> Relation:
    return Relation(schema=node["schema"], name=node.get("alias") or node["name"], database=node.get("database"))


def _spec(meta: SyncMeta, node: Mapping[str, Any], place: SyncPlace, declared: Mapping[str, Any]) -> SyncSpec:
    line = place.document.line(place.at)
    return SyncSpec(
        name=node["name"],
        relation=_relation(node),
        destination=meta.destination,
        object=meta.object,
        key=meta.key,
        match_on=meta.match_on,
        mode=meta.mode,
        on_leave=meta.on_leave,
        columns=tuple(node["columns"]),
        fields={
            name: FieldRule(f.policy, f.when_null, _reference(f.references), f.options)
            for name, f in meta.fields.items()
        },
        guardrails=meta.guardrails_in_force(),
        associate=tuple(_association(a, declared) for a in meta.associate),
        metadata=dict(meta.metadata),
        key_property=meta.key_property,
        create_properties=tuple(meta.create_properties),
        beside=_beside(meta, node, declared),
        where=f"{place.document.path}:{line}" if line else str(place.document.path),
        renamed_from=meta.renamed_from,
    )


def _reference(meta: ReferenceMeta | None) -> Reference | None:
    return None if meta is None else Reference(meta.to, meta.object or "", meta.match_on or "")


def _association(meta: AssociateMeta, declared: Mapping[str, Any]) -> Association:
    if meta.to is not None:
        return Association(meta.to, meta.by, meta.type, str(declared[meta.to].get("object")))
    object_, match_on = meta.object or "", meta.match_on or ""
    return Association(looked_up_as(object_, match_on), meta.by, meta.type, object_, match_on)


def _beside(meta: SyncMeta, node: Mapping[str, Any], declared: Mapping[str, Any]) -> tuple[tuple[str, str | None], ...]:
    return tuple(
        (name, other.get("match_on"))
        for name, other in declared.items()
        if name != node["name"]
        and (other.get("destination"), other.get("object")) == (meta.destination, meta.object)
        and other.get("key_property") is None
        and other.get("mode") != "update"
    )


def _ordered(specs: list[SyncSpec]) -> list[SyncSpec]:
    """By name, but what a sync names records of comes before it, at whatever destination: their ids are known by then.
    Who makes records of an object that is only looked up comes before too, unless that would be a circle."""
    by_name = {s.name: s for s in sorted(specs, key=lambda s: s.name)}
    graph = {s.name: s.named_syncs for s in by_name.values()}
    for spec in by_name.values():
        for other in by_name.values():
            looked_up = other.destination == spec.destination and any(o == other.object for o, _ in spec.looked_up)
            if looked_up and spec.name not in _above(graph, other.name):
                graph[spec.name].add(other.name)
    try:
        return [by_name[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as e:
        circle = " → ".join(f"{name} ({by_name[name].where})" for name in e.args[1])
        raise ConfigError(f"syncs name records of each other in a circle: {circle}") from None


def _above(graph: Mapping[str, set[str]], name: str) -> set[str]:
    """The sync, and all that come before it."""
    seen, todo = set[str](), [name]
    while todo:
        if (at := todo.pop()) not in seen:
            seen.add(at)
            todo += graph.get(at, ())
    return seen
