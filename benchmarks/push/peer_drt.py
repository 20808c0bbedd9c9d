"""drt-core, tuned as its own options allow: chunks of 10,000 rows, 100 records a request. No diff, no row outcomes:
on DuckDB its snapshot diff is not offered, so it does less than revetl here."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.data import COLUMNS

_FIELDS = ", ".join(f'"{c}": {{{{ row.{c} | string | tojson }}}}' for c in COLUMNS[1:])
_TEMPLATE = (
    '[{% for row in rows %}{"key": {{ row.golden_id | tojson }}, "op": "create", "fields": {'
    + _FIELDS
    + "}}{% if not loop.last %},{% endif %}{% endfor %}]"
)


def main(database: str, url: str) -> None:
    home = Path(tempfile.mkdtemp())
    (home / ".drt").mkdir()
    (home / ".drt" / "profiles.yml").write_text(json.dumps({"local": {"type": "duckdb", "database": database}}))
    project = home / "project"
    (project / "syncs").mkdir(parents=True)
    (project / "drt_project.yml").write_text(json.dumps({"name": "bench", "version": "0.1", "profile": "local"}))
    (project / "syncs" / "push.yml").write_text(
        json.dumps(
            {
                "name": "push",
                "model": "SELECT * FROM contacts",
                "destination": {
                    "type": "rest_api",
                    "url": url,
                    "method": "POST",
                    "body_mode": "batch",
                    "batch_template": _TEMPLATE,
                    "max_records_per_request": 100,
                    "headers": {"content-type": "application/json"},
                },
                "sync": {
                    "mode": "full",
                    "batch_size": 10000,
                    "rate_limit": {"requests_per_second": 100000},
                    "on_error": "fail",
                },
            }
        )
    )
    os.environ["HOME"] = str(home)
    os.environ["DRT_TELEMETRY"] = "0"
    os.environ["DO_NOT_TRACK"] = "1"
    os.chdir(project)
    from drt.cli.main import app

    started = time.perf_counter()
    code = 0
    try:
        app(["run"], standalone_mode=False)
    except SystemExit as e:
        code = int(e.code or 0)
    seconds = time.perf_counter() - started
    if code:
        raise SystemExit(code)
    print()
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
