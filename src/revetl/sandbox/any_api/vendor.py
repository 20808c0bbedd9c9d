"""Six APIs of one made-up company, as different as APIs are:

- `/rest/users`: one record a call, ids in the path, a filter, a list by cursor, idempotency keys as Stripe's v1 has
  them. Lets in by `x-api-key`.
- `/batch/contacts`: an array under a name, 207 with a result for each record in any order, upsert by email. Lets in by
  a bearer token of `/oauth/token`, with the scope of what is done.
- `/batch/jobs`: the same array for the same contacts, as a job: 202 with its id and its address, worked off a little
  later, results page by page. Lets in as `/batch/contacts`.
- `/hooks/events`: an array that is taken whole or not at all; an event that is there already is taken and not doubled.
  Lets in by a Standard Webhooks signature.
- `/marketing/lists/{list}/members/{hash}` and `/marketing/users/bulkUpdate`: as two marketing tools have them
  (`marketing.py`). Let in by Basic and by `api-key`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote_plus

from aiohttp import BasicAuth, web

from revetl.sandbox.any_api.jobs import ApiJobRuns
from revetl.sandbox.any_api.marketing import Marketing
from revetl.sandbox.any_api.records import ApiRecords, ApiRefusal, json_of
from revetl.sandbox.vendor import Handler, Routes, SandboxVendor, VendorContext, VendorOptions

SIGNING_SECRET = "whsec_" + b64encode(b"any-api-sandbox-secret").decode()
_KEY_LIVES_S = 86_400
_SIGNATURE_LIVES_S = 300
_MOST_ROWS = 100


class AnyApiOptions(VendorOptions):
    """`token_life_s`: how long an access token is taken; `page_rows`: records of one page; `job_s`: after how long a
    job is worked off."""

    token_life_s: int = 300
    page_rows: int = 50
    job_s: float = 2.0


class AnyApi(SandboxVendor):
    """Any credential serves except one with `bad`."""

    name = "any_api"
    Options = AnyApiOptions

    def __init__(self, context: VendorContext, options: AnyApiOptions) -> None:
        self._clock, self._options = context.clock, options
        self.users, self.contacts = ApiRecords("usr/"), ApiRecords("ct_")  # a slash in an id must not leave its segment
        self.events: dict[str, dict[str, Any]] = {}
        self.jobs = ApiJobRuns(context.clock, options.job_s)
        self.marketing = Marketing()
        self.requests = self.tokens_given = 0
        self._tokens: dict[str, tuple[float, frozenset[str]]] = {}
        self._answers: dict[str, tuple[float, str, int, Any]] = {}

    def add_routes(self, routes: Routes) -> None:
        for method, path, handler in (
            ("GET", "/rest/users", self._list_users),
            ("POST", "/rest/users", self._create_user),
            ("GET", "/rest/users/{id}", self._get_user),
            ("PATCH", "/rest/users/{id}", self._update_user),
            ("DELETE", "/rest/users/{id}", self._delete_user),
            ("POST", "/oauth/token", self._token),
            ("GET", "/batch/contacts", self._find_contacts),
            ("PUT", "/batch/contacts", self._put_contacts),
            ("POST", "/batch/contacts/delete", self._delete_contacts),
            ("POST", "/batch/jobs", self._put_job),
            ("POST", "/batch/jobs/delete", self._delete_job),
            ("GET", "/batch/jobs/{id}", self._get_job),
            ("GET", "/batch/jobs/{id}/results", self._get_job_results),
            ("POST", "/hooks/events", self._add_events),
            ("PUT", "/marketing/lists/{list}/members/{hash}", self.marketing.put_member),
            ("GET", "/marketing/lists/{list}/members/{hash}", self.marketing.get_member),
            ("DELETE", "/marketing/lists/{list}/members/{hash}", self.marketing.delete_member),
            ("POST", "/marketing/users/bulkUpdate", self.marketing.bulk_update),
        ):
            routes.add(method, path, self._answering(handler))

    def reset(self, *, keep_records: bool = False) -> None:
        self.requests = self.tokens_given = 0
        self._tokens.clear()
        self._answers.clear()
        self.jobs.clear()
        if not keep_records:
            self.users.clear()
            self.contacts.clear()
            self.events.clear()
            self.marketing.clear()

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        held: dict[str, Mapping[Any, Any]] = {"users": self.users.rows, "contacts": self.contacts.rows}
        held |= {"events": self.events, "members": self.marketing.members, "subscribers": self.marketing.users}
        return {
            "requests": self.requests,
            "tokens": self.tokens_given,
            "jobs": self.jobs.taken,
            "records": {name: len(rows) for name, rows in held.items()},
        }

    def expire_tokens(self) -> None:
        """As a person who ends all sessions: what was given is refused from now on."""
        self._tokens.clear()

    def _answering(self, handler: Callable[[web.Request], Awaitable[tuple[int, Any]]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            self.jobs.work_off()
            try:
                status, body = await handler(request)
            except ApiRefusal as e:
                status, body = e.status, e.body
            return web.Response(status=status) if body is None else web.json_response(body, status=status)

        return answer

    # One record a call.

    async def _list_users(self, request: web.Request) -> tuple[int, Any]:
        self._let_in(request)
        email = request.query.get("email")
        ids = [id_ for id_, row in self.users.rows.items() if email is None or row.get("email") == email]
        start = int(request.query.get("cursor", "0"))
        end = start + self._options.page_rows
        more: dict[str, str | None] = {"next": None, "next_url": None}
        if end < len(ids):
            asked = {**({} if email is None else {"email": email}), "cursor": str(end)}
            more = {"next": str(end), "next_url": str(request.url.with_query(asked))}
        return 200, {"data": [self.users.shown(id_) for id_ in ids[start:end]], **more}

    async def _create_user(self, request: web.Request) -> tuple[int, Any]:
        """Under an idempotency key the first answer is given again for a day, and other content is an error."""
        self._let_in(request)
        body = await json_of(request, dict)
        key, now = request.headers.get("idempotency-key"), self._clock.now().timestamp()
        digest = json.dumps(body, sort_keys=True)
        if key is not None and (kept := self._answers.get(key)) is not None and now - kept[0] < _KEY_LIVES_S:
            if kept[1] != digest:
                raise ApiRefusal(400, "idempotency_mismatch", "the key was used for another request")
            return kept[2], kept[3]
        answer = 201, self.users.shown(self.users.create(body))
        if key is not None:
            self._answers[key] = (now, digest, *answer)
        return answer

    async def _get_user(self, request: web.Request) -> tuple[int, Any]:
        self._let_in(request)
        id_ = request.match_info["id"]
        if id_ not in self.users.rows:
            raise ApiRefusal(404, "gone", "there is no such record")
        return 200, self.users.shown(id_)

    async def _update_user(self, request: web.Request) -> tuple[int, Any]:
        self._let_in(request)
        self.users.update(request.match_info["id"], await json_of(request, dict))
        return 200, self.users.shown(request.match_info["id"])

    async def _delete_user(self, request: web.Request) -> tuple[int, Any]:
        self._let_in(request)
        if await request.read():
            raise ApiRefusal(400, "body", "a DELETE has no body")
        self.users.delete(request.match_info["id"])
        return 204, None

    # Many records a call.

    async def _token(self, request: web.Request) -> tuple[int, Any]:
        """RFC 6749 4.4. A token has the scopes that were asked for, of those that there are."""
        form = await request.post()
        try:
            pair = BasicAuth.decode(request.headers.get("authorization", ""))
            secret = unquote_plus(pair.password)
        except ValueError:
            secret = str(form.get("client_secret", ""))
        if not secret or "bad" in secret:
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        scopes = frozenset(str(form.get("scope", "")).split()) & {"contacts.read", "contacts.write"}
        token = secrets.token_hex(16)
        self.tokens_given += 1
        life = self._options.token_life_s
        self._tokens[token] = (self._clock.monotonic() + life, scopes)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": life, "scope": " ".join(scopes)}

    async def _find_contacts(self, request: web.Request) -> tuple[int, Any]:
        self._let_in_by_token(request, "contacts.read")
        emails, ids = (request.query.get(name, "").split(",") for name in ("email", "id"))
        found = [i for i, row in self.contacts.rows.items() if i in ids or row.get("email") in emails]
        return 200, {"contacts": [self._contact(id_) for id_ in found]}

    async def _put_contacts(self, request: web.Request) -> tuple[int, Any]:
        """By id where there is one, else by email, else anew. One that is refused costs no other."""
        self._let_in_by_token(request, "contacts.write")
        return 207, {"results": self._put(await self._items(request))[::-1]}

    def _put(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results = []
        for item in items:
            fields = dict(item.get("attributes", {}))
            reference, id_ = item.get("reference"), item.get("id") or self.contacts.by_email(fields.get("email"))
            try:
                if id_ is None:
                    status, id_ = 201, self.contacts.create(fields)
                else:
                    status = 200
                    self.contacts.update(id_, fields)
                results.append({"reference": reference, "id": id_, "status": status})
            except ApiRefusal as e:
                results.append({"reference": reference, "status": e.status, **e.body})
        return results

    async def _delete_contacts(self, request: web.Request) -> tuple[int, Any]:
        self._let_in_by_token(request, "contacts.write")
        return 207, {"results": self._delete(await self._items(request))[::-1]}

    def _delete(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results = []
        for item in items:
            known = item.get("id") in self.contacts.rows
            self.contacts.rows.pop(item.get("id", ""), None)
            results.append({"id": item.get("id"), "status": 204 if known else 404})
        return results

    # The same as a job.

    async def _put_job(self, request: web.Request) -> tuple[int, Any]:
        return await self._take_job(request, self._put)

    async def _delete_job(self, request: web.Request) -> tuple[int, Any]:
        return await self._take_job(request, self._delete)

    async def _take_job(
        self, request: web.Request, work: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
    ) -> tuple[int, Any]:
        self._let_in_by_token(request, "contacts.write")
        items = await self._items(request)
        job = self.jobs.take(lambda: work(items))
        link = request.url.origin().with_path(self._path_of_jobs(request) + quote(job.id, safe=""), encoded=True)
        return 202, {"job": {**job.shown, "link": str(link)}}

    async def _get_job(self, request: web.Request) -> tuple[int, Any]:
        self._let_in_by_token(request, "contacts.read")
        job = self.jobs.get(request.match_info["id"])
        refused = [result for result in job.results or () if result["status"] >= 400]
        return 200, {"job": job.shown, "refused": refused}

    async def _get_job_results(self, request: web.Request) -> tuple[int, Any]:
        self._let_in_by_token(request, "contacts.read")
        job = self.jobs.get(request.match_info["id"])
        if job.results is None:
            raise ApiRefusal(409, "running", "the job still runs")
        start = int(request.query.get("cursor", "0"))
        end = start + self._options.page_rows
        return 200, {"results": job.results[start:end], "next": str(end) if end < len(job.results) else None}

    @staticmethod
    def _path_of_jobs(request: web.Request) -> str:
        return request.path.partition("/batch/jobs")[0] + "/batch/jobs/"

    async def _items(self, request: web.Request) -> list[dict[str, Any]]:
        items = (await json_of(request, dict)).get("contacts")
        if not isinstance(items, list) or len(items) > _MOST_ROWS:
            raise ApiRefusal(400, "wrong_shape", f"contacts is a list of at most {_MOST_ROWS}")
        return [item for item in items if isinstance(item, dict)]

    def _contact(self, id_: str) -> dict[str, Any]:
        return {"id": id_, "attributes": self.contacts.rows[id_]}

    # Events.

    async def _add_events(self, request: web.Request) -> tuple[int, Any]:
        body = await request.read()
        self._check_signature(request, body)
        events = await json_of(request, list)
        for event in events:
            if not isinstance(event, dict) or not isinstance(event.get("event_id"), str):
                raise ApiRefusal(422, "no_id", "an event has an event_id")
            if len(event.get("name") or "") > 100:
                raise ApiRefusal(422, "too_long", "name has over 100 characters")
        for event in events:
            self.events.setdefault(event["event_id"], event)
        return 202, None

    def _check_signature(self, request: web.Request, body: bytes) -> None:
        id_, moment = (request.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp"))
        if not moment.isdigit() or abs(self._clock.now().timestamp() - int(moment)) > _SIGNATURE_LIVES_S:
            raise ApiRefusal(401, "stale", "the signature is not of now")
        key = b64decode(SIGNING_SECRET.removeprefix("whsec_"))
        wanted = b64encode(hmac.new(key, f"{id_}.{moment}.".encode() + body, hashlib.sha256).digest()).decode()
        given = [part.partition(",")[2] for part in request.headers.get("webhook-signature", "").split()]
        if not id_ or not any(hmac.compare_digest(wanted, one) for one in given):
            raise ApiRefusal(401, "bad_signature", "the signature is not ours")

    def _let_in(self, request: web.Request) -> None:
        if "bad" in request.headers.get("x-api-key", "bad"):
            raise ApiRefusal(401, "bad_key", "the key is not taken")

    def _let_in_by_token(self, request: web.Request, scope: str) -> None:
        _, _, token = request.headers.get("authorization", "").partition("Bearer ")
        until, scopes = self._tokens.get(token, (0.0, frozenset()))
        if self._clock.monotonic() >= until:
            raise ApiRefusal(401, "expired", "the token is not taken")
        if scope not in scopes:
            raise ApiRefusal(403, "scope", f"the token lacks {scope}")
