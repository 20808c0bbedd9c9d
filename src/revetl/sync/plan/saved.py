"""A plan as a file that can be reviewed, carried through a pull request, and applied exactly as it was.

The file says what was planned in counts, names and digests, never in keys or values; the lines themselves stay in the
warehouse. It is refused where it was altered (ConfigError) or where the world that it was made for is gone
(GuardrailError); nothing is sent then.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from revetl import __version__
from revetl.clock import Clock
from revetl.errors import ConfigError, GuardrailError, Problem
from revetl.model import SyncSpec
from revetl.state import saved_plans
from revetl.state.sync_tables import Layout, resolve
from revetl.sync.engine import Planner
from revetl.sync.links.links_table import LinkCounts
from revetl.sync.plan import lines, saved_lines
from revetl.sync.plan.guardrails import Violation
from revetl.sync.plan.matching import Offload
from revetl.sync.report import PlanSummary, SyncReport
from revetl.warehouse.base import Warehouse

_FORMAT = 1
_COUNTS = (
    *("source_rows", "snapshot_rows", "create", "adopt", "update", "delete", "matched", "unchanged", "held", "waiting"),
    *("left", "in_doubt"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One sync of a saved file, as its JSON."""

    sync: str
    plan_id: str
    data: dict[str, Any]

    @property
    def digest(self) -> str:
        return _digest(self.data)


@dataclass(frozen=True, slots=True)
class SavedFile:
    path: Path
    target: str
    created_at: str
    entries: tuple[Entry, ...]


def entry(warehouse: Warehouse, spec: SyncSpec, plan: PlanSummary, clock: Clock) -> Entry:
    """Keeps the lines of the plan that was just made and gives its entry for the file."""
    layout = resolve(warehouse, spec)
    saved_lines.keep(warehouse, layout, plan.plan_id)
    rows, digest = saved_lines.lines_digest(warehouse, saved_plans.copy_of(warehouse, plan.plan_id))
    data: dict[str, Any] = {
        "sync": plan.sync,
        "destination": plan.destination,
        "object": plan.object,
        "plan_id": plan.plan_id,
        "lines": rows,
        "lines_sha256": digest,
        "pairs_sha256": _pairs_digest(warehouse, spec, plan.plan_id),
        "columns_sha256": saved_lines.columns_digest(layout),
        "state_sha256": saved_lines.state_digest(warehouse, layout),
        "counts": {name: getattr(plan, name) for name in _COUNTS},
        "links": asdict(plan.links),
        "full_refresh": plan.full_refresh,
        "reasons": plan.reasons,
        "fields": plan.fields,
        "forecast": asdict(plan.forecast) | {"requests": plan.forecast.requests} if plan.forecast else None,
        "guardrails": [asdict(v) for v in plan.violations],
    }
    made = Entry(plan.sync, plan.plan_id, json.loads(json.dumps(data)))
    saved_plans.register(warehouse, plan.plan_id, plan.sync, made.digest, clock.now())
    saved_plans.sweep(warehouse, clock.now())
    return made


def write_file(path: Path, target: str, entries: Sequence[Entry], clock: Clock) -> None:
    """Whole or not at all: to a temporary name, then renamed."""
    document: dict[str, Any] = {
        "revetl_plan": _FORMAT,
        "revetl_version": __version__,
        "created_at": f"{clock.now():%Y-%m-%dT%H:%M:%SZ}",
        "target": target,
        "syncs": [e.data for e in entries],
    }
    document["sha256"] = _digest(document)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_file(path: Path) -> SavedFile:
    """ConfigError where it is not a plan or not as it was written."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        claimed = document.pop("sha256")
        version = document["revetl_plan"]
    except FileNotFoundError:
        raise ConfigError(Problem("no such file", path, hint="`revetl plan --out FILE` writes one.")) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(Problem("not a plan that `revetl plan --out` wrote", path)) from None
    if claimed != _digest(document):
        raise ConfigError(Problem("the plan was altered after it was saved; nothing was sent", path, hint=_ANEW))
    if version != _FORMAT:
        raise ConfigError(Problem(f"a plan of format {version}, this revetl reads {_FORMAT}", path, hint=_ANEW))
    entries = tuple(Entry(e["sync"], e["plan_id"], e) for e in document["syncs"])
    return SavedFile(path, document["target"], document["created_at"], entries)


_ANEW = "Make a new one: revetl plan --out FILE"


def check(warehouse: Warehouse, spec: SyncSpec, saved: Entry) -> Layout:
    """ConfigError where the plan was altered, GuardrailError where it no longer holds. Reads only."""
    layout = resolve(warehouse, spec)
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
    if known.status != "saved":
        raise _stale(name, f"is older than {saved_plans.KEPT.days} days, so its lines were dropped")
    if data["columns_sha256"] != saved_lines.columns_digest(layout):
        raise _stale(name, "is stale: the model's columns, or how they are synced, changed after it was made")
    if data["state_sha256"] != saved_lines.state_digest(warehouse, layout):
        raise _stale(name, "is stale: a run or a recovery changed what the destination is known to hold")
    rows, digest = saved_lines.lines_digest(warehouse, saved_plans.copy_of(warehouse, saved.plan_id))
    pairs = _pairs_digest(warehouse, spec, saved.plan_id)
    if (rows, digest, pairs) != (data["lines"], data["lines_sha256"], data["pairs_sha256"]):
        raise ConfigError(f"{name}: the plan's lines were altered in the warehouse; nothing was sent", hint=_ANEW)
    return layout


def _pairs_digest(warehouse: Warehouse, spec: SyncSpec, plan_id: str) -> str | None:
    if not spec.associate:
        return None
    return saved_lines.lines_digest(warehouse, saved_plans.pairs_of(warehouse, plan_id), order=spec.key)[1]


def planner(warehouse: Warehouse, spec: SyncSpec, saved: Entry) -> Planner:
    """For `run_sync`: in place of a new plan, the saved one, checked once more under the lease."""

    async def put_back(warehouse: Warehouse, layout: Layout, offload: Offload) -> PlanSummary:
        await offload(check, warehouse, spec, saved)
        await offload(saved_lines.restore, warehouse, layout, saved.plan_id)
        counts = saved.data["counts"]
        summary = PlanSummary(
            saved.plan_id,
            spec.name,
            spec.destination,
            spec.object,
            **{name: counts[name] for name in ("source_rows", "snapshot_rows", "unchanged", "waiting", "left")},
            violations=[Violation(**v) for v in saved.data["guardrails"]],
            links=LinkCounts(**saved.data["links"]),
            full_refresh=saved.data["full_refresh"],
        )
        summarised: PlanSummary = await offload(lines.summarise, warehouse, layout, summary, None)
        return summarised

    pairs = saved_plans.pairs_of(warehouse, saved.plan_id) if spec.associate else None
    return Planner(put_back, links_from=pairs, aged=True)


def finish(warehouse: Warehouse, saved: Entry, report: SyncReport) -> None:
    """Once anything of it was sent or settled the plan is used up: its lines are dropped."""
    if report.counts:
        saved_plans.close(warehouse, saved.plan_id, "applied", report.run_id)


def _stale(name: str, why: str) -> GuardrailError:
    return GuardrailError(f"{name}: the plan {why}; nothing was sent\n    {_ANEW}")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
