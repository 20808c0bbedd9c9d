"""An account of an API that connections.yml describes: the core of the contract."""

from __future__ import annotations

from collections.abc import Sequence

from revetl.clock import Clock
from revetl.destinations.any_fields import AnyFields
from revetl.destinations.base import DestinationField, Limits, ObjectSchema, Quota
from revetl.destinations.capabilities import TokenScopes
from revetl.destinations.http.account import response_rules, session_options
from revetl.destinations.http.grammar import ApiLookUp, ApiObject, ApiQuestion, ApiRequest, request_of
from revetl.destinations.http.jobs import ApiJobs
from revetl.destinations.http.options import ANY, Options
from revetl.destinations.http.reading import SEARCHED_ROWS, ApiReader
from revetl.destinations.http.requests import RequestBuilder
from revetl.destinations.http.syntax import parameters
from revetl.destinations.http.values import form
from revetl.destinations.http.writing import ApiWriter
from revetl.destinations.session_destination import SessionDestination
from revetl.errors import ConfigError, Denied, did_you_mean
from revetl.http import Rate, Session, SessionRequest, Transport
from revetl.http.auth_options import AccountAuth
from revetl.http.signature import ID_HEADER
from revetl.model import Change, Operation, Outcome, Scalar, Status

_NAMES = ("id", "key")  # of {…} in a path, beside columns
_JOB_BYTES = 4 * 2**20
_NEVER = 2**62


class HttpApi(SessionDestination):
    """The core, for an API that can neither be searched nor read. `secrets`: what no message may hold beside the
    account's credentials."""

    def __init__(
        self,
        name: str,
        options: Options,
        clock: Clock,
        transport: Transport | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._options = options
        self._account = options.auth.account() if options.auth else AccountAuth()
        account = session_options(options, self._account, secrets)
        self._session = Session(
            name, options.base_url, account, response_rules(options), transport=transport, clock=clock
        )
        self._writer = ApiWriter(name, self._session, options.status)
        self._reader = ApiReader(name, self._session, options.base_url, options.status)
        self._jobs = ApiJobs(name, options.base_url, self._session, self._writer, self._reader, clock)

    async def check(self) -> str:
        """The request that `check` declares, and the scopes of the token beside those that are asked for."""
        check = self._options.check
        if check is None:
            return "no `check` is declared for it: nothing was asked"
        body = None if check.body is None else check.body.encode()
        headers = {} if body is None else {"content-type": "application/json"}
        response = await self._session.send(
            SessionRequest(check.method, check.path, body, {}, headers), idempotent=True
        )
        if not response.is_success:
            raise Denied(f"{self.name} answered {response.status_code}: {check.method} {check.path}")
        scopes = self._options.auth.asked_scopes if self._options.auth else ()
        granted = self._account.token.scopes_granted if self._account.token else None
        said = [f"answered {response.status_code}"]
        said += [f"scopes asked for: {' '.join(scopes)}"] if scopes else []
        said += [f"the token has: {' '.join(sorted(granted)) or 'none'}"] if granted is not None else []
        return "; ".join(said)

    async def probe(self, object_: str, match_on: str | None) -> list[str]:
        self._object(object_)
        if self._account.token is None or self._options.check is None:
            return []
        await self.check()
        return [f"the token lacks the scope {scope}" for scope in self._account.token.scopes_missing]

    async def scopes(
        self, object_: str, match_on: str | None, others: Sequence[str], *, makes_fields: bool
    ) -> TokenScopes:
        """Those that `auth` declares: of all syncs."""
        auth, token = self._options.auth, self._account.token
        if token is not None and token.scopes_granted is None and self._options.check is not None:
            await self.check()
        return TokenScopes(auth.asked_scopes if auth else (), token.scopes_granted if token else None)

    async def describe(self, object_: str) -> ObjectSchema:
        found = self._object(object_)
        required = {
            name: f"it stands in the path {request.path} of {self.name} {object_}"
            for request in found.requests
            for name in parameters(request.path)
            if name not in _NAMES
        }
        if found.event_id is not None:
            required[found.event_id] = f"by it {self.name} knows an event that it has already"
        fields = AnyFields(found.fields, found.unique)
        if found.id_field is not None:
            fields[found.id_field] = DestinationField(found.id_field, "string", read_only=True, unique=True)
        return ObjectSchema(fields, found.kind, found.event_id, required)

    def limits(self, object_: str) -> Limits:
        found = self._object(object_)
        writes = [r for r in (request_of(found, op) for op in (Operation.CREATE, Operation.UPDATE)) if r is not None]
        return Limits(
            batch_rows=min(r.rows or 1 for r in writes),
            job_rows=min(r.rows or 1 for r in found.requests),
            job_bytes=_JOB_BYTES,
            jobs_from=1 if found.runs_jobs else _NEVER,
            concurrency=self._options.concurrency,
            lookup_rows=_question_rows(found.look_up or found.read_back),
            read_rows=_question_rows(found.read_back),
            atomic=any((r.rows or 1) > 1 and not r.all_results for r in found.requests),
            delete_rows=(found.delete.rows or 1) if found.delete else 1,
        )

    def quota(self, object_: str, match_on: str | None) -> Quota:
        rate = self._options.rate
        if rate is None:
            return Quota(notes=("the endpoint declares no rate limit",))
        allowed = Rate(rate.requests, rate.per_s)
        return Quota(allowed, allowed, allowed)

    def needs_record(self, object_: str) -> bool:
        """An address or a whole body needs columns that did not change; a repeat is known by what was answered."""
        if self._options.idempotency or self._options.signing_secret:
            return True
        requests = self._object(object_).requests
        return any(
            r.body == "whole"
            or set(parameters(r.path)) - {*_NAMES}
            or any(s.key_is not in _NAMES for s in r.all_results)
            for r in requests
        )

    def replaces_record(self, object_: str) -> bool:
        update = request_of(self._object(object_), Operation.UPDATE)
        return update is not None and update.body == "whole"

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        found = self._object(object_)
        keys = self._options.idempotency
        known = found.event_id is not None if found.kind == "events" else found.upsert is not None
        return known or (keys is not None and keys.across_runs)

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        found = self._object(object_)
        text = form(value, found.fields.get(field, "any"))
        return text.lower() if field in found.ignore_case else text

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        found, op = self._object(object_), changes[0].op
        request = request_of(found, op)
        if request is None:
            why = f"{self.name} {object_} declares no {op.value}"
            return [Outcome(c.ordinal, Status.REJECTED, None, "Rejected", "NOT_DECLARED", why) for c in changes]
        builder, repeatable = self._builder(object_, match_on, request), self._repeatable(object_, match_on, op)
        outcomes: list[Outcome] = []
        for batch in [changes] if request.rows is not None else [[change] for change in changes]:
            if request.job is not None:
                outcomes += await self._jobs.write(builder, request.job, batch, repeatable)
            else:
                outcomes += await self._writer.write(builder, batch, repeatable)
        return outcomes

    def _builder(self, object_: str, match_on: str | None, request: ApiRequest) -> RequestBuilder:
        keys = [self._options.idempotency.header] if self._options.idempotency else []
        ids = [ID_HEADER] if self._options.signing_secret else []
        about = f"{self._options.base_url} {object_}"
        return RequestBuilder(self._object(object_), request, match_on, about, (*keys, *ids))

    def _repeatable(self, object_: str, match_on: str | None, op: Operation) -> bool:
        """Whether the session may repeat a call whose answer was lost."""
        known = self._options.idempotency is not None or self.idempotent(object_, match_on)
        return op is not Operation.CREATE or known

    def _object(self, name: str) -> ApiObject:
        objects = self._options.objects
        found = objects.get(name) or objects.get(ANY)
        if found is None:
            hint = did_you_mean(name, [*objects]) or f"Declare it under objects: of {self.name} in connections.yml."
            raise ConfigError(f"{self.name} has no object {name!r}", hint=hint)
        return found


def _question_rows(question: ApiQuestion | ApiLookUp | None) -> int:
    if question is None or question.param is not None or "{value}" in question.path:
        return question.rows if question is not None else 1
    return SEARCHED_ROWS
