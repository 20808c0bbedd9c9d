"""Bulk API 2.0: many records as one CSV, worked off later.

- The job's id is known before anything can be applied: a job is worked off only once its upload is said to be complete.
- An empty cell leaves its field alone and `#N/A` clears it (docs), so a text that is `#N/A` can't be sent.
- Results are told by the column that the records are upserted or named by; rows of a plain insert by all their cells.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from revetl.destinations.salesforce import api
from revetl.destinations.salesforce.values import whole_id
from revetl.destinations.salesforce.writing import FOREIGN_KEY, CollectionItem, CollectionRoute
from revetl.errors import Ambiguous, Rejected, Unavailable
from revetl.http import Response, Session, SessionRequest
from revetl.model import Outcome

_NULL = "#N/A"
_ENDED = ("JobComplete", "Failed", "Aborted")

Routed = Sequence[tuple[CollectionRoute, CollectionItem]]
RoutedBy = Callable[[str | None], Awaitable[Routed]]


class BulkIngest:
    """Jobs of one object."""

    def __init__(self, session: Session, path: str, object_: str, match_on: str | None) -> None:
        self._session, self._path, self._object, self._match_on = session, path, object_, match_on

    async def submit(self, routed: Routed) -> str:
        """Rejected where nothing of it can be sent, or the vendor refuses the job. What is raised says that nothing was
        applied; a lost word that the upload is complete is said again by whoever follows."""
        items = _sendable(routed)
        if not items:
            outcome = next(i.outcome for _, i in routed if i.outcome is not None)
            raise Rejected(str(outcome.message), code=outcome.error_code, in_row=outcome.in_row)
        body = {"object": self._object, "contentType": "CSV", "lineEnding": "LF", "columnDelimiter": "COMMA"}
        body["operation"] = _operation(routed)
        if body["operation"] == "upsert":
            body["externalIdFieldName"] = str(self._match_on)
        try:
            made = await self._ask("POST", self._path, body)
            job_id = str(made.get("id") or "")
            if not job_id:
                raise Unavailable(f"{self._session.name} made a job without an id", code="NO_JOB")
            upload = SessionRequest(
                "PUT", f"{self._path}/{job_id}/batches", _csv(items), {}, {"content-type": "text/csv; charset=UTF-8"}
            )
            response = await self._session.send(upload)
        except Ambiguous as e:  # a job that is not complete is never worked off
            raise Unavailable(str(e), code=e.code, status=e.status) from None
        if not response.is_success:
            raise api.refused(self._session, response)
        with suppress(Ambiguous):  # `follow` sees how the job stands
            await self._complete(job_id)
        return job_id

    async def follow(self, job_id: str, items_by: RoutedBy) -> list[Outcome] | None:
        try:
            job = await self._ask("GET", f"{self._path}/{job_id}")
            if job.get("state") == "Open":
                await self._complete(job_id)
            if job.get("state") not in _ENDED:
                return None
            if job["state"] != "JobComplete" and not job.get("numberRecordsProcessed"):
                raise Rejected(f"the job {job['state']}: {job.get('errorMessage')}"[:300], code="JOB_FAILED")
            files = [await self._rows(job_id, n) for n in ("successfulResults", "failedResults", "unprocessedrecords")]
        except Ambiguous as e:
            if e.code == "NO_JOB":
                raise
            raise Unavailable(str(e), code=e.code, status=e.status) from None
        by = job.get("externalIdFieldName")
        routed = await items_by(str(by) if by else None)
        told = _Told(_sendable(routed), str(job.get("operation")), str(by or ""))
        for row in files[0]:
            for item in told.meant(row):
                item.taken(str(row["sf__Id"]))
        for row in files[1]:
            for item in told.meant(row):
                self._refused(item, str(row.get("sf__Error") or ""), deleting=job.get("operation") == "delete")
        for row in files[2]:
            for item in told.meant(row):
                item.refused("UNPROCESSED", "the job ended before it came to this record")
        for _, item in routed:
            if item.outcome is None:
                item.unknown(None, "the job's results do not name this record")
        return [item.outcome for _, item in routed if item.outcome is not None]

    def _refused(self, item: CollectionItem, said: str, *, deleting: bool) -> None:
        """`CODE:message:fields --` (docs)."""
        code, _, message = said.partition(":")
        if deleting and code in api.GONE:
            item.taken(item.form)
            return
        item.refused("PARENT_NOT_FOUND" if message.startswith(FOREIGN_KEY) else code or "UNKNOWN_ERROR", message[:300])

    async def _complete(self, job_id: str) -> None:
        """Not repeated blindly: a second time is refused, and the first may have been heard."""
        await self._ask("PATCH", f"{self._path}/{job_id}", {"state": "UploadComplete"}, idempotent=False)

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, idempotent: bool = True
    ) -> Mapping[str, Any]:
        response = await self._session.request(method, path, json=body, idempotent=idempotent)
        if response.status_code == 404 and method == "GET":
            raise Ambiguous(f"{self._session.name} does not know the job any more", code="NO_JOB", status=404)
        if not response.is_success:
            raise api.refused(self._session, response)
        found = api.document(response)
        return found if isinstance(found, dict) else {}

    async def _rows(self, job_id: str, which: str) -> list[dict[str, str]]:
        response: Response = await self._session.request("GET", f"{self._path}/{job_id}/{which}", idempotent=True)
        if not response.is_success:
            raise Unavailable(f"{api.refused(self._session, response)}", status=response.status_code)
        return list(csv.DictReader(io.StringIO(response.content.decode("utf-8"), newline="")))


class _Told:
    """Whom a row of results means."""

    def __init__(self, items: Iterable[CollectionItem], operation: str, by: str) -> None:
        self._column = {"upsert": by, "update": "Id", "delete": "Id"}.get(operation)
        self._waiting: dict[Any, list[CollectionItem]] = defaultdict(list)
        for item in items:
            self._waiting[self._key(_cells(item))].append(item)

    def meant(self, row: Mapping[str, str]) -> list[CollectionItem]:
        """One at most."""
        waiting = self._waiting.get(self._key(row))
        return [waiting.pop(0)] if waiting else []

    def _key(self, row: Mapping[str, str]) -> Any:
        if self._column is None:
            return frozenset((n, v) for n, v in row.items() if v and not n.startswith("sf__"))
        return whole_id(row.get(self._column) or "") if self._column == "Id" else row.get(self._column)


def _operation(routed: Routed) -> str:
    operations = {
        {("DELETE", True): "delete", ("PATCH", True): "update", ("PATCH", False): "upsert"}.get(
            (route.method, route.by_id), "insert"
        )
        for route, _ in routed
    }
    if len(operations) > 1:
        raise Rejected("a job is of one operation", code="MIXED_OPERATIONS")
    return operations.pop()


def _sendable(routed: Routed) -> list[CollectionItem]:
    for _, item in routed:
        values = item.record.values()
        if item.outcome is None and any(v == _NULL or (isinstance(v, dict) and _NULL in v.values()) for v in values):
            item.refused("INVALID_VALUE", f"the text {_NULL} would clear its field")
    return [item for _, item in routed if item.outcome is None]


def _cells(item: CollectionItem) -> dict[str, str]:
    cells: dict[str, str] = {}
    for name, value in item.record.items():
        if name == "attributes":
            continue
        if isinstance(value, dict):
            cells |= {f"{name}.{key}": _cell(parent) for key, parent in value.items()}
        else:
            cells["Id" if name == "id" else name] = _cell(value)
    return cells


def _cell(value: Any) -> str:
    if value is None:
        return _NULL
    return str(value).lower() if isinstance(value, bool) else str(value)


def _csv(items: Sequence[CollectionItem]) -> bytes:
    rows = [_cells(item) for item in items]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(n for row in rows for n in row)), "", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
