"""Which syncs were disconnected, also where the warehouse is older than that: kept once more beside the project.

A backup of the warehouse that was made before a sync was disconnected has its state and its snapshot, and no word of
the disconnect. So a file names the run that disconnected it. Where the warehouse knows that run, it knows better: the
sync may have been reconnected since, from another checkout too. A file that is not there says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from revetl.state import kept_files, syncs
from revetl.state.schema import relation, table_suffix
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

_FOLDER = "disconnected"


def of_syncs(warehouse: Warehouse, state_dir: Path | None, among: Iterable[str]) -> dict[str, datetime]:
    """Of these syncs, those of which nothing is sent any more, since when. Reads only. OSError where a file can't be
    read."""
    names = list(among)
    return forgotten(warehouse, state_dir, names) | syncs.disconnected(warehouse, names)


def forgotten(warehouse: Warehouse, state_dir: Path | None, among: Iterable[str]) -> dict[str, datetime]:
    """Those of which only the file knows it: the warehouse is older. Reads only."""
    if state_dir is None:
        return {}
    found = dict[str, datetime]()
    for sync in among:
        text = kept_files.read(_path(state_dir, sync))
        run_id, _, since = (text or "").strip().partition(" ")
        if since and not _knows(warehouse, run_id):
            found[sync] = datetime.fromisoformat(since)
    return found


def _knows(warehouse: Warehouse, run_id: str) -> bool:
    known = relation(warehouse, "runs")
    if not warehouse.columns(known):
        return False
    return bool(warehouse.rows(f"SELECT 1 FROM {table(known)} WHERE run_id = ? LIMIT 1", [run_id]))


def keep(state_dir: Path | None, sync: str, run_id: str, now: datetime) -> None:
    """Before the warehouse is told: what dies in between is a run that the warehouse knows. Safe to repeat. OSError
    where the disk does not take it."""
    if state_dir is not None:
        kept_files.write(_path(state_dir, sync), state_dir, f"{run_id} {now.isoformat()}\n")


def copy(state_dir: Path | None, old: str, new: str) -> None:
    """The sync has another name. Safe to repeat. OSError where the disk does not take it."""
    if state_dir is not None and (text := kept_files.read(_path(state_dir, old))) is not None:
        kept_files.write(_path(state_dir, new), state_dir, text)


def forget(state_dir: Path | None, sync: str) -> None:
    """It is reconnected. Safe to repeat."""
    if state_dir is not None:
        _path(state_dir, sync).unlink(missing_ok=True)


def _path(state_dir: Path, sync: str) -> Path:
    return state_dir / _FOLDER / table_suffix(sync)
