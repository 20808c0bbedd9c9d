"""The table that the sync benchmarks share: a key and nine mapped columns of the kinds a CRM has."""

from __future__ import annotations

from pathlib import Path

import duckdb

COLUMNS = (
    "golden_id", "email", "firstname", "lastname", "jobtitle", "phone", "city", "plan_name", "open_tickets",
    "last_seen_at",
)  # fmt: skip

# Everything follows from i and the version of the row; `changed` picks which rows differ.
_SELECT = """
SELECT
    'g' || lpad(i::VARCHAR, 9, '0') AS golden_id,
    'person' || i || '@company' || (i % 5000) || '.example' AS email,
    'First' || (i % 997) AS firstname,
    'Last' || (i % 4999) AS lastname,
    CASE WHEN {changed} THEN 'Head of ' ELSE 'Manager ' END || (i % 37) AS jobtitle,
    '+1 555 ' || lpad((i % 10000)::VARCHAR, 4, '0') AS phone,
    'City ' || (i % 313) AS city,
    CASE i % 3 WHEN 0 THEN 'free' WHEN 1 THEN 'team' END AS plan_name,
    (i % 11)::INTEGER AS open_tickets,
    TIMESTAMP '2026-01-01' + INTERVAL (i % 86400) SECOND AS last_seen_at
FROM range({rows}) AS t(i)
"""


def make_source(database: Path, rows: int, *, changed: str = "false") -> None:
    """(Re)creates main.contacts with `rows` rows; rows where the SQL condition `changed` (over i) holds differ."""
    with duckdb.connect(str(database)) as db:
        db.execute(f"CREATE OR REPLACE TABLE contacts AS {_SELECT.format(changed=changed, rows=rows)}")
