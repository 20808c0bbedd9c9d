"""When dbt last ran a node: by the SQL that it leaves in `run/` just before it runs it, whatever comes of it.

dbt writes run_results.json when a command ends. One that is killed leaves the results of the command before, and so
does one that writes no JSON; what it ran is newer than they are. docs/design/project.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

# dbt writes its results within a second of the time that they name. A file whose own time is further from that was
# copied (`cp -r`, a checkout), and so was all that lies beside it.
_WRITTEN_WITHIN_S = 10
_COPIED_WITHIN_S = 60  # a copy's files get the times at which each was copied, in no order


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Of one target folder. `answered`: the nodes in its last results, where these are of the target in use. `until`:
    files up to this time (seconds since 1970) are of those results or older; None: their own times must tell. `untold`:
    the times are made up, and another command may have begun since the results."""

    folder: Path
    answered: frozenset[str] = frozenset()
    until: float | None = None
    untold: bool = False

    def ran_since(self, node: Mapping[str, Any], at: str) -> bool:
        """Whether the node was run by a command whose result is not known. `at`: of its last known result, ISO."""
        ran = self.ran_at(node)
        if ran is None:
            return False
        if node.get("unique_id") in self.answered and self.until is not None and ran <= self.until:
            return False
        if self.untold:
            return True
        try:
            return bool(at) and datetime.fromtimestamp(ran, UTC) > datetime.fromisoformat(at)
        except ValueError:
            return True  # a time that can't be read proves nothing

    def ran_at(self, node: Mapping[str, Any]) -> float | None:
        """When, in seconds since 1970; None where it left no file. The place is dbt's own rule
        (`get_target_write_path`, dbt-core 1.11)."""
        file = PurePosixPath(str(node.get("original_file_path") or "").replace("\\", "/"))
        path = str(node.get("path") or "").replace("\\", "/")
        if path and PurePosixPath(path).name != file.name:  # several nodes of one file: they stand below its name
            file /= path
        place = self.folder / str(node.get("package_name")) / file
        batches = place.parent / place.stem  # a microbatch model leaves a file for each batch
        config = node.get("config") or {}
        found = [place, *(batches.glob("*.sql") if config.get("incremental_strategy") == "microbatch" else ())]
        return max((f.stat().st_mtime for f in found if f.is_file()), default=None)


def read_run_files(
    target_dir: Path, results: Mapping[str, Any] | None, parsed_by: Callable[[], str], *, believed: bool
) -> RunFiles:
    """Of `target_dir`, whose run_results.json holds `results`. `parsed_by`: the invocation id in the manifest beside
    it, which is large, so that it is read only if need be. `believed`: whether the results are of the target in use."""
    folder, file = target_dir / "run", target_dir / "run_results.json"
    if results is None or not file.is_file():
        return RunFiles(folder)
    written, metadata = file.stat().st_mtime, results.get("metadata", {})
    try:
        ended = datetime.fromisoformat(str(metadata.get("generated_at"))).timestamp()
    except ValueError:
        ended = 0.0
    ids = frozenset(str(r["unique_id"]) for r in results.get("results", ()) if believed)
    if abs(written - ended) <= _WRITTEN_WITHIN_S:
        return RunFiles(folder, ids, written)
    # Copied: the files' times say when. A dbt command writes its manifest before it runs a node, so one of the same
    # command as the results says that none has begun since.
    if parsed_by() == metadata.get("invocation_id"):
        return RunFiles(folder, ids, written + _COPIED_WITHIN_S)
    return RunFiles(folder, ids, None, untold=written < ended)
