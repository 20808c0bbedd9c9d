"""Salesforce as the sandbox serves it, at `/salesforce`: one org. Any version of the API is the same here."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from revetl.sandbox.salesforce.access import Access
from revetl.sandbox.salesforce.bulk import IngestJobs
from revetl.sandbox.salesforce.composite import Collections
from revetl.sandbox.salesforce.errors import RecordRefusal, SalesforceRefusal, malformed
from revetl.sandbox.salesforce.options import SalesforceSandboxOptions
from revetl.sandbox.salesforce.org import SalesforceOrg, SalesforceRecord, WriteHeaders
from revetl.sandbox.salesforce.single import Rows
from revetl.sandbox.salesforce.soql import query
from revetl.sandbox.vendor import Handler, Routes, SandboxVendor, VendorContext

_DATA = "/services/data/v{version}"
_FORMAT = 1
_URI_MOST_CHARS = 16_384  # docs

Answering = Callable[[web.Request], Awaitable[tuple[int, Any]]]


class SalesforceSandbox(SandboxVendor):
    """`org` is public so that tests may look inside and set rules; a reset puts another in its place."""

    name = "salesforce"
    Options = SalesforceSandboxOptions

    def __init__(self, context: VendorContext, options: SalesforceSandboxOptions) -> None:
        self._clock = context.clock
        self._job_s = context.settings.job_s
        self._options = options if context.settings.limited else options.without_limits()
        self._version = 0
        self.calls: Counter[str] = Counter()
        self.writes = 0  # of them, those that may change a record
        self._start_anew()

    def _start_anew(self) -> None:
        self.org = SalesforceOrg(self._clock)
        self._collections = Collections(self.org)
        self._rows = Rows(self.org, self._collections)
        self.access = Access(self._options, self._clock)
        self.jobs = IngestJobs(self.org, self._collections, self._clock, self._job_s)
        self._cursors: dict[str, list[dict[str, Any]]] = {}
        self._version += 1

    def add_routes(self, routes: Routes) -> None:
        routes.post("/services/oauth2/token", self._token)
        for method, path, handler in (
            ("GET", "/limits", self._limits),
            ("GET", "/sobjects", self._objects),
            ("GET", "/sobjects/{object}/describe", self._describe),
            ("POST", "/sobjects/{object}", self._create),
            ("GET", "/sobjects/{object}/{id}", self._get),
            ("PATCH", "/sobjects/{object}/{id}", self._update),
            ("DELETE", "/sobjects/{object}/{id}", self._delete),
            *((m, "/sobjects/{object}/{by}/{value}", self._by_key) for m in ("GET", "PATCH", "DELETE")),
            ("GET", "/query", self._query),
            ("GET", "/queryAll", self._query),
            ("GET", "/query/{cursor}", self._more),
            ("GET", "/queryAll/{cursor}", self._more),
            ("POST", "/composite/sobjects", self._collection_create),
            ("PATCH", "/composite/sobjects", self._collection_update),
            ("DELETE", "/composite/sobjects", self._collection_delete),
            ("PATCH", "/composite/sobjects/{object}/{by}", self._collection_upsert),
            ("POST", "/composite/sobjects/{object}", self._collection_read),
            ("POST", "/jobs/ingest", self._job_make),
            ("GET", "/jobs/ingest/{job}", self._job_get),
            ("PATCH", "/jobs/ingest/{job}", self._job_set),
            ("DELETE", "/jobs/ingest/{job}", self._job_delete),
            ("PUT", "/jobs/ingest/{job}/batches", self._job_upload),
            (
                "GET",
                "/jobs/ingest/{job}/{results:successfulResults|failedResults|unprocessed[rR]ecords}",
                self._job_results,
            ),
        ):
            for spelling in (path, path + "/"):  # clients write both (tried)
                routes.add(method, _DATA + spelling, self._answering(handler))

    def reset(self, *, keep_records: bool = False) -> None:
        if not keep_records:
            self._start_anew()
        self.access = Access(self._options, self._clock)
        self.calls.clear()
        self.writes = 0

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        return {
            "requests": sum(self.calls.values()),
            "write_requests": self.writes,
            "tokens": self.access.tokens_given,
            "records": {name: len(self.org.standing(name)) for name in self.org.objects},
            **({"calls": dict(self.calls)} if calls else {}),
        }

    # a person edits a record

    def has_object(self, name: str) -> bool:
        return name in self.org.objects

    def edit(self, document: dict[str, Any]) -> tuple[int, Any]:
        """By id, else the first whose fields all match, letter case aside."""
        object_ = self.org.object(str(document.get("object", "")))
        wanted = {n: str(v).lower() for n, v in (document.get("match") or {}).items()}
        for record in self.org.standing(object_.name):
            by_match = wanted and all(str(self.org.shown(record, n)).lower() == v for n, v in wanted.items())
            if record.id == document.get("id") or by_match:
                try:
                    values = document.get("properties", {})
                    self.org.update(object_, record, values, WriteHeaders(auto_assign=False, allow_duplicates=True))
                except RecordRefusal as e:
                    return 400, e.whole().body()
                except SalesforceRefusal as e:
                    return e.status, e.body()
                return 200, {"Id": record.id, **record.values}
        return 404, {"error": "no such record"}

    # records outlive the server

    @property
    def version(self) -> int:
        return self._version * 10**9 + self.org.version

    def dump(self) -> dict[str, Any]:
        records = [asdict(r) for r in self.org.records.values()]
        return {"format": _FORMAT, "last": self.org.last_number, "records": records}

    def restore(self, document: dict[str, Any]) -> None:
        if document.get("format") != _FORMAT:
            raise ValueError("it was written by another version of the sandbox")
        self.org.restore(document["last"], [SalesforceRecord(**r) for r in document["records"]])

    # requests

    async def _token(self, request: web.Request) -> web.StreamResponse:
        status, body = await self.access.token(request)
        return web.json_response(body, status=status)

    def _answering(self, handler: Answering) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            name = handler.__name__.strip("_")
            self.calls[name] += 1
            self.writes += request.method != "GET" and name != "collection_read"
            headers: dict[str, str] = {}
            try:
                headers = self.access.let_in(request)
                if len(request.path_qs) > _URI_MOST_CHARS:
                    raise SalesforceRefusal(414, "URI_TOO_LONG", "URI too long")
                status, body = await handler(request)
            except SalesforceRefusal as e:
                status, body = e.status, e.body()
            if body is None:
                return web.Response(status=status, headers=headers)
            if isinstance(body, str):
                return web.Response(text=body, content_type="text/csv", charset="UTF-8", headers=headers)
            return web.json_response(body, status=status, headers=headers)

        return answer

    async def _limits(self, request: web.Request) -> tuple[int, Any]:
        return 200, self.access.limits()

    async def _objects(self, request: web.Request) -> tuple[int, Any]:
        return 200, {"sobjects": [{"name": o.name, "keyPrefix": o.prefix} for o in self.org.objects.values()]}

    async def _describe(self, request: web.Request) -> tuple[int, Any]:
        return 200, self.org.object(request.match_info["object"]).described()

    async def _create(self, request: web.Request) -> tuple[int, Any]:
        return self._rows.create(request.match_info["object"], await _object(request), _headers(request))

    async def _get(self, request: web.Request) -> tuple[int, Any]:
        return self._rows.get(request.match_info["object"], request.match_info["id"], request.query.get("fields"))

    async def _update(self, request: web.Request) -> tuple[int, Any]:
        match = request.match_info
        return self._rows.update(match["object"], match["id"], await _object(request), _headers(request))

    async def _delete(self, request: web.Request) -> tuple[int, Any]:
        return self._rows.delete(request.match_info["object"], request.match_info["id"])

    async def _by_key(self, request: web.Request) -> tuple[int, Any]:
        match = request.match_info
        values = await _object(request) if request.method == "PATCH" else {}
        path = (match["object"], match["by"], match["value"])
        return self._rows.by_key(request.method, path, values, _headers(request))

    async def _query(self, request: web.Request) -> tuple[int, Any]:
        """Pages by a cursor (docs)."""
        text = request.query.get("q")
        if text is None:
            raise SalesforceRefusal(400, "MALFORMED_QUERY", "q is missing")
        kind = "queryAll" if "/queryAll" in request.path else "query"
        found = query(self.org, text, deleted=kind == "queryAll")
        counts = found if found and "attributes" not in found[0] else []
        return 200, self._page(request, kind, [] if counts else found, 0, len(found))

    async def _more(self, request: web.Request) -> tuple[int, Any]:
        cursor, _, start = request.match_info["cursor"].rpartition("-")
        if cursor not in self._cursors or not start.isdigit():
            raise SalesforceRefusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        kind = "queryAll" if "/queryAll" in request.path else "query"
        rows = self._cursors[cursor]
        return 200, self._page(request, kind, rows, int(start), len(rows), cursor)

    def _page(
        self, request: web.Request, kind: str, rows: list[dict[str, Any]], start: int, total: int, cursor: str = ""
    ) -> dict[str, Any]:
        end = start + self._options.page_rows
        body: dict[str, Any] = {"totalSize": total, "done": end >= len(rows), "records": rows[start:end]}
        if end < len(rows):
            cursor = cursor or "01gSb" + secrets.token_hex(5)
            self._cursors[cursor] = rows
            body["nextRecordsUrl"] = f"/services/data/v{request.match_info['version']}/{kind}/{cursor}-{end}"
        return body

    async def _collection_create(self, request: web.Request) -> tuple[int, Any]:
        return 200, self._collections.create(await _object(request), _headers(request))

    async def _collection_update(self, request: web.Request) -> tuple[int, Any]:
        return 200, self._collections.update(await _object(request), _headers(request))

    async def _collection_upsert(self, request: web.Request) -> tuple[int, Any]:
        match = request.match_info
        body = await _object(request)
        return 200, self._collections.upsert(match["object"], match["by"], body, _headers(request))

    async def _collection_delete(self, request: web.Request) -> tuple[int, Any]:
        ids = [i for i in request.query.get("ids", "").split(",") if i]
        if not ids:
            raise SalesforceRefusal(400, "INVALID_INPUT", "ids is missing")
        return 200, self._collections.delete(ids, all_or_none=request.query.get("allOrNone") == "true")

    async def _collection_read(self, request: web.Request) -> tuple[int, Any]:
        body = await _object(request)
        ids, fields = body.get("ids"), body.get("fields")
        if not isinstance(ids, list) or not isinstance(fields, list) or len(ids) > 2_000:
            raise malformed("ids and fields are arrays, of at most 2,000 ids")
        return 200, self._collections.read(request.match_info["object"], ids, fields)

    async def _job_make(self, request: web.Request) -> tuple[int, Any]:
        return 200, self.jobs.make(await _object(request), request.match_info["version"])

    async def _job_get(self, request: web.Request) -> tuple[int, Any]:
        return 200, self.jobs.shown(self.jobs.get(request.match_info["job"]), request.match_info["version"])

    async def _job_set(self, request: web.Request) -> tuple[int, Any]:
        job = self.jobs.set_state(request.match_info["job"], (await _object(request)).get("state"))
        return 200, self.jobs.shown(job, request.match_info["version"])

    async def _job_delete(self, request: web.Request) -> tuple[int, Any]:
        self.jobs.delete(request.match_info["job"])
        return 204, None

    async def _job_upload(self, request: web.Request) -> tuple[int, Any]:
        if not request.content_type.startswith("text/csv"):
            raise SalesforceRefusal(415, "UNSUPPORTED_MEDIA_TYPE", "text/csv is wanted")
        self.jobs.upload(request.match_info["job"], await request.read())
        return 201, None

    async def _job_results(self, request: web.Request) -> tuple[int, Any]:
        return 200, self.jobs.results(request.match_info["job"], request.match_info["results"].lower())


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.text())
    except ValueError:
        raise malformed("Unexpected character in the JSON") from None
    if not isinstance(body, dict):
        raise malformed("a JSON object is wanted")
    return body


def _headers(request: web.Request) -> WriteHeaders:
    rule = request.headers.get("Sforce-Duplicate-Rule-Header", "").replace(" ", "").lower()
    return WriteHeaders(
        auto_assign=request.headers.get("Sforce-Auto-Assign", "TRUE").upper() != "FALSE",
        allow_duplicates="allowsave=true" in rule,
    )
