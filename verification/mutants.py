"""Planted mistakes in the code that recovers: each must be found by the simulation, or the simulation proves nothing.

Every mutant is one edit of a copy of the sources. An edit that does not apply exactly once is an error: the code has
moved, and the mutant must move with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Section

ROOT = Path(__file__).resolve().parents[1]
HISTORIES = int(os.environ.get("REVETL_MUTANT_HISTORIES", "600"))


@dataclass(frozen=True)
class Mutant:
    """What a tired engineer might write."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant("nothing becomes in doubt after a crash", "state/plans.py", "    if not count:\n        return 0\n", "    return 0\n"),
    Mutant("a record in doubt keeps its hash", "state/plans.py", "SET row_hash = NULL, destination_id = {kept}", "SET destination_id = {kept}"),
    Mutant("a create in flight is forgotten", "state/plans.py", 'AND f.op <> \'delete\'"', 'AND FALSE"'),
    Mutant("the id of a record that may be archived is trusted", "state/plans.py", "CASE WHEN f.op = 'delete' THEN NULL ELSE {kept} END", "{kept}"),
    Mutant("the last record of the intent is left out", "state/plans.py", "p.ordinal < ? AND p.settled", "p.ordinal < ? - 1 AND p.settled"),
    Mutant("a plan is said to be done when it begins", "state/plans.py", "?, ?, ?, ?, 'applying', ?, 0", "?, ?, ?, ?, 'done', ?, 0"),
    Mutant("the intent is not written ahead", "sync/checkpoint.py", "        if intent_until is not None:\n", "        if False:\n"),
    Mutant("a checkpoint is not one transaction", "sync/checkpoint.py", "    with warehouse.transaction():\n        if done:\n", "    if True:\n        if done:\n"),
    Mutant("a lost answer is taken for applied", "state/snapshot.py", "CASE WHEN p.status = 'ok' THEN p.row_hash END", "p.row_hash"),
    Mutant("a lost answer of a create leaves no trace", "state/snapshot.py", "(p.status = 'ok' AND p.op <> 'delete') OR p.status = 'unknown'", "p.status = 'ok' AND p.op <> 'delete'"),
    Mutant("in doubt is compared like any other row", "sync/planning.py", '_IN_DOUBT = "(d.known_key IS NOT NULL AND (d.known_hash IS NULL OR d.destination_id IS NULL))"', '_IN_DOUBT = "FALSE"'),
    Mutant("a record in doubt is looked for by its present value only", "sync/matching.py", "*([earlier[i]] if doubts[i] else [])", "*()"),
    Mutant("an outage is taken for a refusal of the records", "sync/applying.py", "            self.error = self.error or e\n            return []\n", "            return [_outcome(change, Status.OK, e) for change in batch]\n"),
    Mutant("a lost answer is taken for not applied", "sync/applying.py", "            return [_outcome(change, Status.UNKNOWN, e) for change in batch]\n        except CallError", "            return [_outcome(change, Status.REJECTED, e) for change in batch]\n        except CallError"),
    Mutant("a stop drops what was settled and not yet written", "sync/applying.py", "        await self._checkpoint(None)\n\n    async def _produce", "        self._done = []\n        await self._checkpoint(None)\n\n    async def _produce"),
)  # fmt: skip


def plant(mutant: Mutant, folder: Path) -> Path:
    """A copy of the sources with the mistake in it; the folder to import from."""
    target = folder / "src"
    shutil.copytree(ROOT / "src", target, ignore=shutil.ignore_patterns("__pycache__", "_starter"))
    path = target / "revetl" / mutant.file
    text = path.read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise RuntimeError(f"the mutant {mutant.name!r} applies {text.count(mutant.old)} times to {mutant.file}")
    path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
    return target


def histories_until_found(mutant: Mutant | None, limit: int) -> int | None:
    """How many seeds it took; None where no seed found anything. Without a mutant: the code as it is."""
    with tempfile.TemporaryDirectory() as folder:
        source = plant(mutant, Path(folder)) if mutant else ROOT / "src"
        done = subprocess.run(
            [sys.executable, "-m", "verification.mutants", "hunt", str(limit)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"the hunt for {mutant and mutant.name!r} failed:\n{done.stderr[-2000:]}")
    found, imported = done.stdout.split()
    if not Path(imported).is_relative_to(source):
        raise RuntimeError("the hunt did not import the mutated sources")
    return int(found) or None


def hunt(limit: int) -> None:
    """Prints the number of the first history that finds something, or 0, and where revetl was imported from."""
    import revetl
    from verification.simulation import History

    found = next((seed + 1 for seed in range(limit) if History(seed).play().failures), 0)
    print(found, revetl.__file__)


def measure() -> Section:
    if (alarm := histories_until_found(None, 20)) is not None:
        raise RuntimeError(f"the simulation finds something in the code as it is: seed {alarm - 1}")
    rows = []
    missed = 0
    for mutant in MUTANTS:
        took = histories_until_found(mutant, HISTORIES)
        missed += took is None
        rows.append((mutant.name, f"`{mutant.file}`", "**not found**" if took is None else f"{took}"))
        print(f"  {mutant.name}: {took}", file=sys.stderr, flush=True)
    return Section(
        title="Planted mistakes",
        workload=(
            f"Each row is one edit of the recovery code. The simulation plays up to {HISTORIES} histories; the last "
            "column says which of them noticed first."
        ),
        header=("mistake", "file", "found by history"),
        rows=rows,
        verdict=f"Caught: {len(MUTANTS) - missed} of {len(MUTANTS)}" + (": met." if not missed else ": NOT met."),
    )


if __name__ == "__main__":
    hunt(int(sys.argv[2]))
