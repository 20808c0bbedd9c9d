"""An account of an API that connections.yml describes. What it can do beside writing follows from what is described:
with `look_up` records are found, with `read_back` they are read; `connect` gives the class that has just that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from revetl.clock import Clock
from revetl.destinations.base import Destination, DestinationField, FieldType, Limits, ObjectSchema, Quota, RecordMatch
from revetl.destinations.http.grammar import ApiLookUp, ApiObject, ApiQuestion, ApiRequest, parameters
from revetl.destinations.http.options import ANY, Options
from revetl.destinations.http.reading import SEARCHED_ROWS, ApiReader
from revetl.destinations.http.requests import RequestBuilder
from revetl.destinations.http.results import document_of, id_in_answer, outcome, per_record, session_verdict
from revetl.destinations.http.results import verdict_of as verdict_of_answer
from revetl.destinations.http.values import form, leaves
from revetl.errors import Ambiguous, ConfigError, Denied, Rejected, did_you_mean
from revetl.http import (
    Rate,
    Response,
    ResponseRules,
    ResponseVerdict,
    Session,
    SessionOptions,
    SessionRequest,
    Transport,
    WebhookSignature,
)
from revetl.http.auth_options import AccountAuth
from revetl.http.options import MOST_BYTES
from revetl.model import Change, Operation, Outcome, Scalar, Status

_WEBHOOK_ID = "webhook-id"
_SHOWN_BYTES = 1024 * 1024  # of an answer of which only the beginning is ever shown
_NAMES = ("id", "key")  # of {…} in a path, beside columns


class AnyField(dict[str, DestinationField]):
    """The fields of an object that takes whatever it is sent, those that are declared with their types."""

    def __init__(self, types: Mapping[str, FieldType]) -> None:
        super().__init__({name: DestinationField(name, type_) for name, type_ in types.items()})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> DestinationField:
        return DestinationField(name, "any")


class HttpApi:
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
        account = _session_options(options, self._account, secrets)
        self._session = Session(name, options.base_url, account, _rules(options), transport=transport, clock=clock)
        self._reader = ApiReader(name, self._session, options.status)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def __aenter__(self) -> HttpApi:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.__aexit__(*exc)

    @property
    def requests(self) -> int:
        return self._session.requests

    @property
    def retries(self) -> int:
        return self._session.retries

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
        return ObjectSchema(AnyField(found.fields), found.kind, found.event_id, required)

    def limits(self, object_: str) -> Limits:
        found = self._object(object_)
        writes = [r for r in (_of(found, Operation.CREATE), _of(found, Operation.UPDATE)) if r is not None]
        return Limits(
            batch_rows=min(r.rows or 1 for r in writes),
            concurrency=self._options.concurrency,
            lookup_rows=_question_rows(found.look_up),
            read_rows=_question_rows(found.read_back),
            atomic=any((r.rows or 1) > 1 and not r.results for r in found.requests),
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
            r.body == "whole" or set(parameters(r.path)) - {*_NAMES} or any(s.key_is not in _NAMES for s in r.results)
            for r in requests
        )

    def replaces_record(self, object_: str) -> bool:
        update = _of(self._object(object_), Operation.UPDATE)
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
        request = _of(found, op)
        if request is None:
            why = f"{self.name} {object_} declares no {op.value}"
            return [Outcome(c.ordinal, Status.REJECTED, None, "Rejected", "NOT_DECLARED", why) for c in changes]
        keys = [self._options.idempotency.header] if self._options.idempotency else []
        ids = [_WEBHOOK_ID] if self._options.signing_secret else []
        builder = RequestBuilder(found, request, match_on, (*keys, *ids))
        outcomes: list[Outcome] = []
        for batch in [changes] if request.rows is not None else [[change] for change in changes]:
            outcomes += await self._send(object_, builder, batch)
        return outcomes

    async def _send(self, object_: str, builder: RequestBuilder, changes: Sequence[Change]) -> list[Outcome]:
        request, outcomes, sent = builder.request, list[Outcome](), list[tuple[Change, dict[str, Any]]]()
        for change in changes:
            try:
                sent.append((change, builder.record(change)))
                outgoing = builder.outgoing([change], [sent[-1][1]], self._about(object_))
            except (ValueError, TypeError) as e:
                sent = [pair for pair in sent if pair[0] is not change]
                if request.rows is not None and not request.results:
                    raise Rejected(str(e), code="INVALID_VALUE", in_row=True) from None
                outcomes.append(
                    Outcome(change.ordinal, Status.REJECTED, None, "Rejected", "INVALID_VALUE", str(e), in_row=True)
                )
        if not sent:
            return outcomes
        changes, records = [c for c, _ in sent], [r for _, r in sent]
        if len(sent) > 1:
            outgoing = builder.outgoing(changes, records, self._about(object_))
        repeatable = (
            changes[0].op is not Operation.CREATE
            or self._options.idempotency is not None
            or self.idempotent(object_, builder.match_on)
        )
        try:
            response = await self._session.send(outgoing, idempotent=repeatable)
        except Ambiguous as e:
            return outcomes + [Outcome(c.ordinal, Status.UNKNOWN, None, "Ambiguous", e.code, str(e)) for c in changes]
        answered = self._read(builder, response, changes)
        for one in answered:
            one.attempts = response.extensions["attempts"]
        return outcomes + answered

    def _read(self, builder: RequestBuilder, response: Response, changes: Sequence[Change]) -> list[Outcome]:
        request, found = builder.request, builder.object
        verdict = verdict_of_answer(self._options.status, response)
        if verdict not in ("ok", "accepted"):
            return self._refused(request, response, changes, verdict)
        document = document_of(response)
        if request.results:
            given = {
                o.ordinal: o
                for o in per_record(
                    request.results, document, changes, builder.values, lambda t: self._session.excerpt(response, t)
                )
            }
            lost = "the answer says nothing of this record"
            return [
                given.get(c.ordinal) or Outcome(c.ordinal, Status.UNKNOWN, None, "Ambiguous", "NO_RESULT", lost)
                for c in changes
            ]
        id_ = id_in_answer(found, response, document) if request.rows is None else None
        return [
            outcome(c, verdict, id_ or c.destination_id or (None if found.uses_id else c.key), None, "")
            for c in changes
        ]

    def _refused(
        self, request: ApiRequest, response: Response, changes: Sequence[Change], verdict: Any
    ) -> list[Outcome]:
        status = response.status_code
        said = self._session.excerpt(response)
        if verdict == "gone" and not parameters(request.path) and request.rows is None:
            # Of this every record would be refused: the address is wrong, not a record.
            raise Denied(f"{self.name} answered {status}: {request.method} {request.path}", status=status)
        if request.rows is None or (verdict == "gone" and changes[0].op is Operation.DELETE and len(changes) == 1):
            code = {"gone": "GONE", "exists": "EXISTS"}.get(verdict, str(status))
            why = f"{self.name} answered {status}" + (f": {said}" if said else "")
            return [outcome(c, verdict, None, code, why) for c in changes]
        message = f"the endpoint answered {status}" + (f": {said}" if said else "")
        raise Rejected(message, code=str(status), status=status, in_row=verdict == "invalid")

    def _about(self, object_: str) -> str:
        return f"{self._options.base_url} {object_}"

    def _object(self, name: str) -> ApiObject:
        objects = self._options.objects
        found = objects.get(name) or objects.get(ANY)
        if found is None:
            hint = did_you_mean(name, [*objects]) or f"Declare it under objects: of {self.name} in connections.yml."
            raise ConfigError(f"{self.name} has no object {name!r}", hint=hint)
        return found


class _LooksUp(HttpApi):
    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> Mapping[str, RecordMatch]:
        found = self._object(object_)
        question = found.look_up
        if question is None or match_on not in question.by:
            by = ", ".join(question.by) if question else "nothing"
            message = f"{self.name} {object_} can't be looked up by {match_on!r}"
            raise ConfigError(message, hint=f"It is looked up by {by}.")
        wanted = {self.normalise(object_, match_on, value) for value in values}

        def form_of(_: str, record: Mapping[str, Any]) -> str | None:
            value = _value(record, match_on)
            text = None if value is None else self.normalise(object_, match_on, value)
            return text if text in wanted else None  # vendors also give what only resembles it

        return await self._reader.find(found, question, values, fields, form_of)


class _ReadsBack(HttpApi):
    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> Mapping[str, RecordMatch]:
        found, wanted = self._object(object_), set(ids)
        if found.read_back is None:
            raise ConfigError(f"{self.name} {object_} declares no read_back")
        return await self._reader.find(
            found, found.read_back, ids, fields, lambda id_, _: id_ if id_ in wanted else None
        )


class _Both(_LooksUp, _ReadsBack):
    pass


def connect(name: str, options: Options, clock: Clock, transport: Transport | None = None) -> Destination:
    """An account with the capabilities that its objects describe."""
    first = next(iter(options.objects.values()))
    kinds = {(True, True): _Both, (True, False): _LooksUp, (False, True): _ReadsBack, (False, False): HttpApi}
    return kinds[first.look_up is not None, first.read_back is not None](name, options, clock, transport)


def _of(object_: ApiObject, op: Operation) -> ApiRequest | None:
    if op is Operation.CREATE:
        return object_.upsert or object_.create
    return (object_.update or object_.upsert) if op is Operation.UPDATE else object_.delete


def _question_rows(question: ApiQuestion | ApiLookUp | None) -> int:
    if question is None or question.param is not None or "{value}" in question.path:
        return question.rows if question is not None else 1
    return SEARCHED_ROWS


def _value(record: Mapping[str, Any], name: str) -> Scalar:
    return leaves(record, iter((name,)))[name]


def _session_options(options: Options, account: AccountAuth, secrets: Sequence[str]) -> SessionOptions:
    headers = {name: value.get_secret_value() for name, value in options.headers.items()}
    signing = options.signing_secret.get_secret_value() if options.signing_secret else None
    auth = ([account.token] if account.token else []) + ([WebhookSignature(signing)] if signing else [])
    return SessionOptions(
        headers={**headers, **account.headers},
        secrets=[*secrets, *headers.values(), *account.secrets, *([signing] if signing else [])],
        rates={"default": Rate(options.rate.requests, options.rate.per_s)} if options.rate else {},
        allow_insecure=options.allow_insecure,
        params=account.params,
        auth=auth,
        client_certificate=options.client_certificate.shown() if options.client_certificate else None,
    )


def _rules(options: Options) -> ResponseRules:
    # Of these every record would be refused: the address or the method is wrong, not a record.
    wrong = dict.fromkeys((405, 415), ResponseVerdict.DENIED)
    suffices = not any(o.uses_id or r.results for o in options.objects.values() for r in o.requests)
    return ResponseRules(
        verdicts=wrong,
        verdict=session_verdict(options.status),
        show_body=True,
        most_bytes=_SHOWN_BYTES if suffices else MOST_BYTES,
        status_suffices=suffices,
    )
