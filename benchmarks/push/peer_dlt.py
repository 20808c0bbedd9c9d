"""dlt with a custom destination in batches of 100 and a diff of its own: a hash join against a table of what was sent,
refreshed when the load has finished."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
# Its own settings for speed: more workers in the load step, rows as typed JSON lines in large files.
os.environ["LOAD__WORKERS"] = "4"
os.environ["DATA_WRITER__BUFFER_MAX_ITEMS"] = "20000"

import dlt
import duckdb
import requests

_HASH = "hash(email, firstname, lastname, jobtitle, phone, city, plan_name, open_tickets, last_seen_at)"


def main(database: str, url: str) -> None:
    session = requests.Session()

    @dlt.destination(batch_size=100, name="sink", naming_convention="direct", skip_dlt_columns_and_tables=True)
    def sink(items: Any, table: Any) -> None:
        body = [{"key": r["golden_id"], "op": "create", "fields": r} for r in items]
        session.post(
            url, data=json.dumps(body, default=str), headers={"content-type": "application/json"}
        ).raise_for_status()

    db = duckdb.connect(database)
    db.execute("CREATE TABLE IF NOT EXISTS dlt_sent (golden_id VARCHAR, row_hash UBIGINT)")

    @dlt.resource(name="contacts")
    def changed() -> Any:
        result = db.cursor().execute(
            f"SELECT c.* FROM contacts c LEFT JOIN dlt_sent s USING (golden_id) WHERE s.row_hash IS DISTINCT FROM {_HASH}"
        )
        names = [d[0] for d in result.description]
        while rows := result.fetchmany(10_000):
            yield [dict(zip(names, row, strict=True)) for row in rows]

    started = time.perf_counter()
    pipeline = dlt.pipeline("bench", destination=sink, pipelines_dir=tempfile.mkdtemp())
    pipeline.run(changed())
    db.execute(f"CREATE OR REPLACE TABLE dlt_sent AS SELECT golden_id, {_HASH} AS row_hash FROM contacts")
    print()
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
