"""A plan as a file that can be reviewed, carried through a pull request, and applied exactly as it was.

The file says what was planned in counts, names and digests, never in keys or values; the lines themselves stay in the
warehouse. It is refused where it was altered (ConfigError) or where the world that it was made for is gone
(GuardrailError); nothing is sent then.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from revetl import __version__
from revetl.clock import Clock
from revetl.errors import ConfigError, GuardrailError, Problem
from revetl.json_documents import parse_json
from revetl.model import SyncSpec
from revetl.private_files import replaced
from revetl.state import saved_plans
from revetl.state.sync_tables import resolve
from revetl.sync.links.links_table import LinkCounts
from revetl.sync.plan import lines, saved_lines
from revetl.sync.plan.guardrails import GuardrailViolation
from revetl.sync.plan.planner import Planner
from revetl.sync.plan.summary import PlanSummary
from revetl.sync.sync_run import SyncRun
from revetl.warehouse.base import Warehouse

_FORMAT = 1
_COUNTS = (
    *("source_rows", "snapshot_rows", "create", "adopt", "update", "delete", "matched", "unchanged"),
    *("withheld", "waiting", "left", "in_doubt"),
)


@dataclass(frozen=True, slots=True)
class SavedPlanEntry:
    """One sync of a saved file, as its JSON."""

    sync: str
    plan_id: str
    data: dict[str, Any]

    @property
    def digest(self) -> str:
        return _digest(self.data)


@dataclass(frozen=True, slots=True)
class SavedFile:
    """`digest`: of all that stands in it."""

    path: Path
    target: str
    created_at: str
    entries: tuple[SavedPlanEntry, ...]
    digest: str


def entry(warehouse: Warehouse, spec: SyncSpec, plan: PlanSummary, clock: Clock) -> SavedPlanEntry:
    """Keeps the lines of the plan that was just made and gives its entry for the file."""
    tables = resolve(warehouse, spec)
    saved_lines.keep(tables, plan.plan_id)
    rows, digest = saved_lines.lines_digest(warehouse, saved_plans.copy_of(warehouse, plan.plan_id))
    data: dict[str, Any] = {
        "sync": plan.sync,
        "destination": plan.destination,
        "object": plan.object,
        "plan_id": plan.plan_id,
        "lines": rows,
        "lines_sha256": digest,
        "pairs_sha256": _pairs_digest(warehouse, spec, plan.plan_id),
        "columns_sha256": saved_lines.columns_digest(tables),
        "state_sha256": saved_lines.state_digest(tables),
        "counts": {name: getattr(plan, name) for name in _COUNTS},
        "links": asdict(plan.links),
        "full_refresh": plan.full_refresh,
        "reasons": plan.reasons,
        "fields": plan.fields,
        "held": plan.held,
        "unresolved": plan.unresolved,
        "unresolved_links": plan.unresolved_links,
        "new_fields": plan.new_fields,
        "erased": plan.erased,
        "forecast": asdict(plan.forecast) | {"requests": plan.forecast.requests} if plan.forecast else None,
        "guardrails": [asdict(v) for v in plan.violations],
    }
    made = SavedPlanEntry(plan.sync, plan.plan_id, json.loads(json.dumps(data)))
    saved_plans.register(warehouse, plan.plan_id, plan.sync, made.digest, clock.now())
    saved_plans.sweep(warehouse, clock.now())
    return made


def write_file(warehouse: Warehouse, path: Path, target: str, entries: Sequence[SavedPlanEntry], clock: Clock) -> None:
    """Whole or not at all, and for its owner alone: names of syncs and fields are nobody else's business. The warehouse
    keeps its digest first, so that nobody can make another file pass by reckoning a digest anew."""
    document: dict[str, Any] = {
        "revetl_plan": _FORMAT,
        "revetl_version": __version__,
        "created_at": f"{clock.now():%Y-%m-%dT%H:%M:%SZ}",
        "target": target,
        "syncs": [e.data for e in entries],
    }
    document["sha256"] = _digest(document)
    saved_plans.seal(warehouse, [e.plan_id for e in entries], document["sha256"])
    with replaced(path) as file:
        file.write(f"{json.dumps(document, indent=2)}\n".encode())


def read_file(path: Path) -> SavedFile:
    """ConfigError where it is not a plan or not as it was written."""
    try:
        raw = path.read_bytes()
        parse_json(raw, most_values=sys.maxsize)  # bounds its depth before anything recurses into it
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_once)
        claimed = document.pop("sha256")
        version = document["revetl_plan"]
        digest = _digest(document)
    except FileNotFoundError:
        raise ConfigError(Problem("no such file", path, hint="`revetl plan --out FILE` writes one.")) from None
    except OSError as e:  # a directory, no right to read it
        raise ConfigError(Problem(f"can't be read: {e.strerror or e.__class__.__name__}", path)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _no_plan(path) from None
    if claimed != digest:
        raise ConfigError(Problem("the plan was altered after it was saved; nothing was sent", path, hint=_ANEW))
    if version != _FORMAT:
        raise ConfigError(Problem(f"a plan of format {version}, this revetl reads {_FORMAT}", path, hint=_ANEW))
    match document:
        case {"target": str(target), "created_at": str(created_at), "syncs": [_, *_] as listed}:
            entries = tuple(_entry(path, each) for each in listed)
            return SavedFile(path, target, created_at, entries, digest)
    raise _no_plan(path)


def _entry(path: Path, data: Any) -> SavedPlanEntry:
    match data:
        case {"sync": str(sync), "plan_id": str(plan_id)}:
            return SavedPlanEntry(sync, plan_id, data)
    raise _no_plan(path)


def _no_plan(path: Path) -> ConfigError:
    return ConfigError(Problem("not a plan that `revetl plan --out` wrote", path))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key that stands twice would show a reviewer one value and us another."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


_ANEW = "Make a new one: revetl plan --out FILE"


def check_seal(warehouse: Warehouse, file: SavedFile) -> None:
    """ConfigError where the file is not the one that was written, though each of its syncs may be: one was taken out or
    moved, or its target or date changed. Reads only."""
    for each in file.entries:
        known = saved_plans.find(warehouse, each.plan_id)
        if known is None:
            raise ConfigError(f"{each.sync}: this warehouse knows no plan {each.plan_id}", hint=_ANEW)
        if known.file_digest not in (None, file.digest):  # None: an earlier version saved it, as good as it could
            message = "the plan was altered after it was saved; nothing was sent"
            raise ConfigError(Problem(message, file.path, hint=_ANEW))


def check(warehouse: Warehouse, spec: SyncSpec, saved: SavedPlanEntry) -> None:
    """ConfigError where the plan was altered, GuardrailError where it no longer holds. Reads only."""
    tables = resolve(warehouse, spec)
    name, data = saved.sync, saved.data
    known = saved_plans.find(warehouse, saved.plan_id)
    if known is None:
        raise ConfigError(f"{name}: this warehouse knows no plan {saved.plan_id}", hint=_ANEW)
    if known.digest != saved.digest:
        raise ConfigError(f"{name}: the plan was altered after it was saved; nothing was sent", hint=_ANEW)
    run_id = known.run_id or saved_plans.begun_by(warehouse, saved.plan_id)
    if run_id is not None:
        raise _stale(name, f"was applied already, by run {run_id}; what it left over is in a new plan")
    if known.status == "erased":
        raise _stale(name, "named somebody who was erased, so its lines were dropped")
    if known.status == "disconnected":
        raise _stale(name, "was made before the sync was disconnected")
    if known.status != "saved":
        raise _stale(name, f"is older than {saved_plans.KEPT.days} days, so its lines were dropped")
    if data["columns_sha256"] != saved_lines.columns_digest(tables):
        raise _stale(name, "is stale: the model's columns, or how they are synced, changed after it was made")
    if data["state_sha256"] != saved_lines.state_digest(tables):
        raise _stale(name, "is stale: a run or a recovery changed what the destination is known to hold")
    rows, digest = saved_lines.lines_digest(warehouse, saved_plans.copy_of(warehouse, saved.plan_id))
    pairs = _pairs_digest(warehouse, spec, saved.plan_id)
    if (rows, digest, pairs) != (data["lines"], data["lines_sha256"], data["pairs_sha256"]):
        raise ConfigError(f"{name}: the plan's lines were altered in the warehouse; nothing was sent", hint=_ANEW)


def _pairs_digest(warehouse: Warehouse, spec: SyncSpec, plan_id: str) -> str | None:
    if not spec.associate:
        return None
    return saved_lines.lines_digest(warehouse, saved_plans.pairs_of(warehouse, plan_id), order=spec.key)[1]


def planner(warehouse: Warehouse, spec: SyncSpec, saved: SavedPlanEntry) -> Planner:
    """For `run_sync`: in place of a new plan, the saved one, checked once more under the lease."""

    async def put_back(run: SyncRun) -> PlanSummary:
        await run.ctx.offload(check, run.ctx.warehouse, spec, saved)
        await run.on_tables(saved_lines.restore, saved.plan_id)
        counts = saved.data["counts"]
        summary = PlanSummary(
            plan_id=saved.plan_id,
            sync=spec.name,
            destination=spec.destination,
            object=spec.object,
            **{name: counts[name] for name in ("source_rows", "snapshot_rows", "unchanged", "waiting", "left")},
            violations=[GuardrailViolation(**v) for v in saved.data["guardrails"]],
            links=LinkCounts(**saved.data["links"]),
            full_refresh=saved.data["full_refresh"],
            held=dict(saved.data.get("held", {})),
            unresolved=dict(saved.data.get("unresolved", {})),
            unresolved_links=dict(saved.data.get("unresolved_links", {})),
            new_fields=dict(saved.data.get("new_fields", {})),
        )
        return await run.on_tables(lines.summarise, summary)

    pairs = saved_plans.pairs_of(warehouse, saved.plan_id) if spec.associate else None
    return Planner(put_back, links_from=pairs)


def finish(warehouse: Warehouse, saved: SavedPlanEntry, run_id: str, counts: Mapping[str, int]) -> None:
    """After `run_sync`: once anything of it has an outcome the plan is used up, and its lines are dropped."""
    if counts:
        saved_plans.close(warehouse, saved.plan_id, "applied", run_id)


def _stale(name: str, why: str) -> GuardrailError:
    return GuardrailError(f"{name}: the plan {why}; nothing was sent\n    {_ANEW}")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
