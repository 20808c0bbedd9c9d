"""What may be asked of the service, who may ask it, and the command that each is."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from revetl.accounts.roles import Right

PLAN_FILE, LIST_FILE = "plan.json", "list.csv"
Arguments = Mapping[str, Any]


class OperationKind(StrEnum):
    PLAN = "plan"
    APPLY = "apply"
    SYNC = "sync"
    RETRY = "retry"
    ROLLBACK = "rollback"
    DRIFT = "drift"
    ENRICH = "enrich"
    ERASE = "erase"


@dataclass(frozen=True, slots=True)
class KindRules:
    """`command`: the words of the command line, given the arguments and a folder for files. `about_a_person`: its
    arguments are never written down, so one that a dead service left is not begun again, and what it gives is kept in
    memory alone. `sends`: to a destination, without a plan that somebody approved."""

    right: Right
    command: Callable[[Arguments, Path], list[str]]
    about_a_person: bool = False
    sends: bool = False


def _plan(given: Arguments, folder: Path) -> list[str]:
    chosen = [word for sync in given["syncs"] for word in ("-s", sync)]
    return ["plan", *chosen, "--out", str(folder / PLAN_FILE)]


def _retry(given: Arguments, _: Path) -> list[str]:
    return ["retry", "-s", given["sync"], *(f"--code={code}" for code in given.get("codes", ()))]


def _drift(given: Arguments, _: Path) -> list[str]:
    resolve = given.get("resolve")
    return ["drift", given["sync"], *([f"--{resolve}-all"] if resolve else [])]


def _enrich(given: Arguments, folder: Path) -> list[str]:
    paths = [str(folder / "row.csv"), "-o", str(folder / LIST_FILE)]
    return ["enrich", *paths, "-w", given["waterfall"], "--max-spend", given["max_spend_usd"], "--yes"]


# Where nobody can be asked, a sync deletes no more than one that is scheduled. A rollback and a plan that was saved for
# review were looked at before.
KINDS: Mapping[OperationKind, KindRules] = {
    OperationKind.PLAN: KindRules(Right.ACT, _plan),
    OperationKind.APPLY: KindRules(Right.ACT, lambda _, folder: ["apply", str(folder / PLAN_FILE), "--yes"]),
    OperationKind.SYNC: KindRules(Right.ACT, lambda given, _: ["sync", "-s", given["sync"], "--no-input"], sends=True),
    OperationKind.RETRY: KindRules(Right.ACT, _retry, sends=True),
    OperationKind.ROLLBACK: KindRules(Right.ACT, lambda given, _: ["rollback", given["run"], "--yes"]),
    OperationKind.DRIFT: KindRules(Right.ACT, _drift),
    OperationKind.ENRICH: KindRules(Right.ACT, _enrich, about_a_person=True),
    OperationKind.ERASE: KindRules(
        Right.DECIDE, lambda _, folder: ["erase", "--file", str(folder / "row.csv"), "--yes"], about_a_person=True
    ),
}


def list_of_one(inputs: Mapping[str, str]) -> bytes:
    """A CSV of one row, by which a command is told of a person: other users of the machine see a process's words."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(inputs.keys())
    writer.writerow(inputs.values())
    return text.getvalue().encode()


def row_of(found: bytes) -> dict[str, str]:
    """The one row of what `enrich` wrote; empty where it wrote none."""
    return next(iter(csv.DictReader(io.StringIO(found.decode("utf-8-sig"), newline=""))), {})
