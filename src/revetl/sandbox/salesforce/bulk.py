"""Bulk API 2.0 ingest: a job is made, takes one upload, and is worked off later (docs)."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from revetl.clock import Clock
from revetl.sandbox.salesforce.composite import Collections
from revetl.sandbox.salesforce.errors import RecordRefusal, SalesforceRefusal, not_found
from revetl.sandbox.salesforce.org import SalesforceOrg, SalesforceRecord, WriteHeaders
from revetl.sandbox.salesforce.schema import SalesforceObject

MOST_UPLOAD_BYTES = 100 * 10**6  # 150 MB after base64 (docs)
_LIVES_S = 7 * 86_400.0
_OPERATIONS = ("insert", "update", "upsert", "delete")
_NULL = "#N/A"
_DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t", "CARET": "^", "BACKQUOTE": "`"}


@dataclass(slots=True)
class IngestJob:
    """`due_at`: when it is worked off, once its upload is complete."""

    id: str
    object: SalesforceObject
    operation: str
    external_id: str | None
    line_ending: str
    delimiter: str
    made_at: float
    state: str = "Open"
    content: str | None = None
    due_at: float = 0.0
    error: str = ""
    columns: list[str] = field(default_factory=list)
    successful: list[tuple[str, str, list[str]]] = field(default_factory=list)
    failed: list[tuple[str, str, list[str]]] = field(default_factory=list)
    unprocessed: list[list[str]] = field(default_factory=list)


class IngestJobs:
    """`job_s`: how long a job takes. `fails_after`: the next job fails when it came so far, as one does whose chunks
    take too long; for tests to set."""

    def __init__(self, org: SalesforceOrg, collections: Collections, clock: Clock, job_s: float) -> None:
        self._org, self._collections, self._clock, self._job_s = org, collections, clock, job_s
        self._jobs: dict[str, IngestJob] = {}
        self.fails_after: int | None = None

    def make(self, body: Mapping[str, Any], version: str) -> dict[str, Any]:
        operation, external = body.get("operation"), body.get("externalIdFieldName")
        if operation not in _OPERATIONS:
            raise SalesforceRefusal(400, "INVALIDJOB", f"operation {operation} is not played here")
        object_ = self._org.object(str(body.get("object", "")))
        known = object_.field(str(external)) if external else None
        if (operation == "upsert") != (known is not None and (known.external_id or known.id_lookup)):
            raise SalesforceRefusal(400, "INVALIDJOB", "externalIdFieldName names an external id, for an upsert alone")
        if body.get("contentType", "CSV") != "CSV":
            raise SalesforceRefusal(400, "INVALIDJOB", "contentType is CSV")
        if unknown := set(body) - _BODY:
            raise SalesforceRefusal(400, "JSON_PARSER_ERROR", f"Unrecognized field '{min(unknown)}'")
        job = IngestJob(
            "750Sb" + secrets.token_hex(5) + "EAA",
            object_,
            str(operation),
            known.name if known else None,
            str(body.get("lineEnding", "LF")),
            str(body.get("columnDelimiter", "COMMA")),
            self._clock.monotonic(),
        )
        self._jobs[job.id] = job
        return self.shown(job, version)

    def get(self, id_: str) -> IngestJob:
        """404 for one that never was, or is older than seven days (docs)."""
        job = self._jobs.get(id_)
        if job is None or self._clock.monotonic() >= job.made_at + _LIVES_S:
            raise not_found()
        if job.state == "InProgress" and self._clock.monotonic() >= job.due_at:
            self._work(job)
        return job

    def upload(self, id_: str, content: bytes) -> None:
        job = self.get(id_)
        if job.state != "Open" or job.content is not None:
            raise SalesforceRefusal(400, "INVALIDJOBSTATE", "one upload per job")  # the code is unconfirmed
        if len(content) > MOST_UPLOAD_BYTES:
            raise SalesforceRefusal(413, "REQUEST_ENTITY_TOO_LARGE", "at most 100 MB")
        job.content = content.decode()

    def set_state(self, id_: str, state: object) -> IngestJob:
        job = self.get(id_)
        if state not in ("UploadComplete", "Aborted"):
            raise SalesforceRefusal(400, "INVALIDJOBSTATE", f"a job can't be set to {state}")
        if state == "UploadComplete" and (job.state != "Open" or job.content is None):
            raise SalesforceRefusal(400, "INVALIDJOBSTATE", "nothing was uploaded, or the upload is complete already")
        if state == "UploadComplete":
            job.state, job.due_at = "InProgress", self._clock.monotonic() + self._job_s
        else:
            job.state = "Aborted"
        return job

    def delete(self, id_: str) -> None:
        if self.get(id_).state == "InProgress":
            raise SalesforceRefusal(400, "API_ERROR", "a job that runs can't be deleted")
        del self._jobs[id_]

    def shown(self, job: IngestJob, version: str) -> dict[str, Any]:
        return {
            "id": job.id,
            "operation": job.operation,
            "object": job.object.name,
            "state": job.state,
            "externalIdFieldName": job.external_id,
            "contentType": "CSV",
            "apiVersion": float(version),
            "lineEnding": job.line_ending,
            "columnDelimiter": job.delimiter,
            "jobType": "V2Ingest",
            "contentUrl": f"services/data/v{version}/jobs/ingest/{job.id}/batches",
            "numberRecordsProcessed": len(job.successful) + len(job.failed),
            "numberRecordsFailed": len(job.failed),
            "errorMessage": job.error,
        }

    def results(self, id_: str, which: str) -> str:
        """`which` in lower case: clients write it in several (tried)."""
        job = self.get(id_)
        if job.state not in ("JobComplete", "Failed", "Aborted"):
            raise SalesforceRefusal(400, "INVALIDJOBSTATE", "the job has not ended")
        if which == "unprocessedrecords":
            return _csv([job.columns, *job.unprocessed])
        rows, second = (job.successful, "sf__Created") if which == "successfulresults" else (job.failed, "sf__Error")
        return _csv([["sf__Id", second, *job.columns], *([id_, said, *row] for id_, said, row in rows)])

    def _work(self, job: IngestJob) -> None:
        try:
            rows = _rows(job)
            self._check_columns(job)
        except ValueError as e:
            job.state, job.error = "Failed", f"InvalidBatch : {e}"
            return
        most, self.fails_after = self.fails_after, None
        for place, row in enumerate(rows):
            if most is not None and place >= most:
                job.unprocessed = rows[place:]
                job.state, job.error = "Failed", "TooManyRetries : a chunk took too long"
                return
            try:
                record, created = self._one(job, row)
                job.successful.append((record.id, str(created).lower(), row))
            except (RecordRefusal, SalesforceRefusal) as e:
                job.failed.append(("", f"{e.code}:{e.message}:{','.join(e.fields)} --", row))
        job.state = "JobComplete"

    def _check_columns(self, job: IngestJob) -> None:
        for column in job.columns:
            relationship, _, key = column.partition(".")
            known = job.object.parent(relationship) if key else job.object.field(column)
            if known is None:
                raise ValueError(f"Field name not found : {column}")
        if job.operation in ("update", "delete") and "Id" not in job.columns:
            raise ValueError("Id is missing in the header")

    def _one(self, job: IngestJob, row: Sequence[str]) -> tuple[SalesforceRecord, bool]:
        """An empty cell leaves its field alone, `#N/A` clears it (docs)."""
        cells = zip(job.columns, row, strict=True)
        values: dict[str, Any] = {c: None if v == _NULL else v for c, v in cells if v != ""}
        headers = WriteHeaders(auto_assign=False, from_csv=True)  # which rules run of themselves is unconfirmed
        if job.operation == "insert":
            return self._org.create(job.object, values, headers), True
        if job.operation == "upsert":
            return self._collections.upsert_one(job.object, str(job.external_id), values, headers)
        record = self._org.get(job.object, str(values.pop("Id", "") or ""))
        if job.operation == "delete":
            self._org.delete(record)
        else:
            self._org.update(job.object, record, values, headers)
        return record, False


_BODY = {"object", "operation", "externalIdFieldName", "contentType", "lineEnding", "columnDelimiter"}


def _rows(job: IngestJob) -> list[list[str]]:
    content = str(job.content)
    ends = "\r\n" if "\r\n" in content.partition("\n")[0] + "\n" else "\n"
    if (job.line_ending == "CRLF") != (ends == "\r\n"):
        raise ValueError(f"LineEnding is invalid on user data. Current LineEnding setting is {job.line_ending}")
    try:
        table = list(csv.reader(io.StringIO(content, newline=""), delimiter=_DELIMITERS[job.delimiter], strict=True))
    except csv.Error as e:
        raise ValueError(str(e)) from None
    job.columns, rows = table[0], table[1:]
    if any(len(row) != len(job.columns) for row in rows):
        raise ValueError("a row has another number of columns than the header")
    return rows


def _csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return out.getvalue()
