"""`publications`: every run whose rows a destination is given as a whole. A row is durable before anything of the run
can be seen there, so that a run which takes over publishes the same and sends nothing twice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from revetl.clock import naive
from revetl.model import Contents
from revetl.state.sync_tables import SyncTables


@dataclass(frozen=True, slots=True)
class FieldAsPublished:
    """A field of the rows, as it was when the run began: the model may have changed since."""

    name: str
    keep_null: bool
    is_json: bool


@dataclass(frozen=True, slots=True)
class Publication:
    """One row. `begun_at` is aware. `written_until`: lines with a smaller ordinal have their outcome."""

    run_id: str
    plan_id: str
    contents: Contents
    fields: tuple[FieldAsPublished, ...]
    begun_at: datetime
    written_until: int = 0


def begin(tables: SyncTables, publication: Publication) -> None:
    """From here on a crash leaves a run to be published. Safe to repeat."""
    table = tables.shared("publications")
    found = tables.warehouse.rows(
        f"SELECT 1 FROM {table} WHERE sync = ? AND run_id = ?", [tables.spec.name, publication.run_id]
    )
    if found:
        return
    fields = json.dumps([[f.name, f.keep_null, f.is_json] for f in publication.fields])
    tables.warehouse.execute(
        f"""
        INSERT INTO {table}
            (run_id, sync, plan_id, contents, fields, status, written_until, begun_at)
        VALUES (?, ?, ?, ?, ?, 'open', 0, ?)
        """,
        [
            publication.run_id,
            tables.spec.name,
            publication.plan_id,
            publication.contents,
            fields,
            naive(publication.begun_at),
        ],
    )


def wrote(tables: SyncTables, publication: Publication, until: int) -> None:
    """Lines with a smaller ordinal have their outcome. Call in the transaction that writes it."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.shared("publications")}
        SET written_until = ?
        WHERE sync = ? AND run_id = ?
        """,
        [until, tables.spec.name, publication.run_id],
    )


def end(tables: SyncTables, publication: Publication, status: str) -> None:
    """`done` or `dropped`. Safe to repeat."""
    tables.warehouse.execute(
        f"""
        UPDATE {tables.shared("publications")}
        SET status = ?
        WHERE sync = ? AND run_id = ?
        """,
        [status, tables.spec.name, publication.run_id],
    )


def open_ones(tables: SyncTables) -> list[Publication]:
    """Those of this sync that are to be published, the earliest first. No other run begins before: so at most one."""
    found = tables.warehouse.rows(
        f"""
        SELECT run_id, plan_id, contents, fields, begun_at, written_until
        FROM {tables.shared("publications")}
        WHERE sync = ? AND status = 'open'
        ORDER BY run_id
        """,
        [tables.spec.name],
    )
    return [
        Publication(
            str(run_id),
            str(plan_id),
            cast("Contents", contents),
            tuple(FieldAsPublished(*field) for field in json.loads(str(fields))),
            cast("datetime", begun_at).replace(tzinfo=UTC),
            int(str(until)),
        )
        for run_id, plan_id, contents, fields, begun_at, until in found
    ]
