"""Which of revetl's own builds began and never said how they ended: each has a file while that is so.

The file is on disk before dbt starts, and goes once the build's results were read. A build that is killed leaves it:
what it may have rebuilt was never tested.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PREFIX = "revetl_build_"


@dataclass(frozen=True, slots=True)
class UnfinishedBuild:
    """`at`: when it began, ISO in UTC. `ids`: the nodes that it may change; None: any."""

    file: Path
    at: str
    ids: frozenset[str] | None

    def may_have_changed(self, id_: str, began: str) -> bool:
        """Whether the node may be other than its last result says. `began`: when that result's command did."""
        return (self.ids is None or id_ in self.ids) and _moment(began) < _moment(self.at)

    def finish(self) -> None:
        """Safe to repeat."""
        self.file.unlink(missing_ok=True)

    def covers(self, other: UnfinishedBuild) -> bool:
        """Whether a good end of this build leaves nothing open that `other` may have changed."""
        wide = self.ids is None or (other.ids is not None and other.ids <= self.ids)
        return wide and _moment(other.at) < _moment(self.at)


def begin_build(folder: Path, ids: Iterable[str] | None) -> UnfinishedBuild:
    """Written through to the disk when it returns."""
    build = UnfinishedBuild(
        folder / f"{_PREFIX}{uuid.uuid4().hex}.json",
        datetime.now(UTC).isoformat(),
        None if ids is None else frozenset(ids),
    )
    folder.mkdir(parents=True, exist_ok=True)
    half = build.file.with_suffix(".tmp")
    with half.open("w", encoding="utf-8") as out:
        json.dump({"at": build.at, "ids": None if build.ids is None else sorted(build.ids)}, out)
        out.flush()
        os.fsync(out.fileno())
    half.replace(build.file)
    return build


def unfinished_builds(folder: Path) -> tuple[UnfinishedBuild, ...]:
    """A file that can't be read is of a build of any node."""
    found = []
    for file in sorted(folder.glob(f"{_PREFIX}*.json")):
        try:
            written = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat()
            found.append(_read(file, written))
        except FileNotFoundError:
            continue  # its build has ended meanwhile
    return tuple(found)


def _read(file: Path, written: str) -> UnfinishedBuild:
    try:
        data = json.loads(file.read_bytes())
        at, ids = str(data["at"]), data["ids"]
        _moment(at)
        return UnfinishedBuild(file, at, None if ids is None else frozenset(ids))
    except (ValueError, KeyError, TypeError):
        return UnfinishedBuild(file, written, None)


def _moment(iso: str) -> datetime:
    """A time that is not known is before all others."""
    found = datetime.fromisoformat(iso) if iso else datetime.fromtimestamp(0, UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
