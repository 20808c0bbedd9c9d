"""The last that is written of a run. Whoever reads files takes those that a manifest names: before it stands, the run
is not complete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from revetl.destinations.capabilities import PublishedRun
from revetl.destinations.files.options import Options
from revetl.destinations.files.spool import RunSpool, SpooledFile

VERSION = 1


def manifest(
    options: Options, object_: str, run: PublishedRun, spool: RunSpool, files: Mapping[str, SpooledFile]
) -> bytes:
    """The same for the same rows. `files` by their paths below the url."""
    said: dict[str, Any] = {
        "manifest": VERSION,
        "run_id": run.run_id,
        "sync": run.sync,
        "object": object_,
        "began_at": run.started_at.astimezone(UTC).isoformat(),
        "contents": run.contents,
        "format": options.format,
        "key": run.key,
        "columns": [{"name": f.name, "type": str(f.type)} for f in spool.schema or ()],
        "rows": spool.rows,
    }
    if run.contents == "changes":
        said["operations"] = dict(sorted(spool.operations.items()))
    if options.format == "csv":
        said["null"] = "an empty field; an empty text is two quotes"
        said["spreadsheet_safe"] = options.spreadsheet_safe
    said["files"] = [
        {"path": path, "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256} for path, file in files.items()
    ]
    return json.dumps(said, indent=1, ensure_ascii=False).encode() + b"\n"
