"""Sends changes of one operation, and gives one outcome for each: what its answer says, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from revetl.destinations.http.answers import ApiStatusRow, OfRecord
from revetl.destinations.http.requests import RequestBuilder
from revetl.destinations.http.results import ResultReader, document_of, id_in_answer, outcome, verdict_of
from revetl.destinations.http.syntax import parameters
from revetl.errors import Ambiguous, Denied, Rejected
from revetl.http import Response, Session
from revetl.model import Change, Operation, Outcome, Status


class ApiWriter:
    """Of one account. `status` is its table."""

    def __init__(self, name: str, session: Session, status: Sequence[ApiStatusRow]) -> None:
        self._name, self._session, self._status = name, session, status

    async def write(self, builder: RequestBuilder, changes: Sequence[Change], repeatable: bool) -> list[Outcome]:
        """One call. Rejected: it was refused as a whole. `repeatable`: as the session's `idempotent`."""
        outcomes: list[Outcome] = []
        try:
            outgoing = builder.outgoing(changes, [builder.record(change) for change in changes])
        except ValueError:
            changes, outcomes = writable(builder, changes)
            if outcomes and builder.request.rows is not None and not builder.request.results:
                raise Rejected(str(outcomes[0].message), code="INVALID_VALUE", in_row=True) from None
            if not changes:
                return outcomes
            outgoing = builder.outgoing(changes, [builder.record(change) for change in changes])
        try:
            response = await self._session.send(outgoing, idempotent=repeatable)
        except Ambiguous as e:
            return outcomes + [Outcome(c.ordinal, Status.UNKNOWN, None, "Ambiguous", e.code, str(e)) for c in changes]
        answered = self._read(builder, response, changes)
        for one in answered:
            one.attempts = response.extensions["attempts"]
        return outcomes + answered

    def verdict(self, response: Response) -> OfRecord:
        """Of an answer that the session let through."""
        return verdict_of(self._status, response)

    def _read(self, builder: RequestBuilder, response: Response, changes: Sequence[Change]) -> list[Outcome]:
        request, found = builder.request, builder.object
        verdict = self.verdict(response)
        if verdict == "exists" and found.event_id is not None:
            verdict = "ok"  # it has this event
        if verdict not in ("ok", "accepted"):
            return self._refused(builder, response, changes, verdict)
        document = document_of(response)
        if request.results:
            mask = partial(self._session.excerpt, response)
            return ResultReader(request.results, request.unnamed, builder.values, mask).read([document], changes)
        id_ = id_in_answer(found, response, document) if request.rows is None else None
        return applied_whole(builder, changes, verdict, id_)

    def _refused(
        self, builder: RequestBuilder, response: Response, changes: Sequence[Change], verdict: OfRecord
    ) -> list[Outcome]:
        refusal = refused_call(self._name, self._session, builder, response, verdict)
        is_done = verdict == "gone" and changes[0].op is Operation.DELETE and len(changes) == 1
        if isinstance(refusal, Rejected) and (builder.request.rows is None or is_done):
            code = {"gone": "GONE", "exists": "EXISTS"}.get(verdict, refusal.code)
            return [outcome(c, verdict, None, code, str(refusal)) for c in changes]
        raise refusal


def writable(builder: RequestBuilder, changes: Sequence[Change]) -> tuple[list[Change], list[Outcome]]:
    """The changes that can be written down, and outcomes of those that can't: because of what stands in their rows."""
    sent, outcomes = list[Change](), list[Outcome]()
    for change in changes:
        try:
            builder.outgoing([change], [builder.record(change)])
            sent.append(change)
        except ValueError as e:
            outcomes.append(
                Outcome(change.ordinal, Status.REJECTED, None, "Rejected", "INVALID_VALUE", str(e), in_row=True)
            )
    return sent, outcomes


def applied_whole(
    builder: RequestBuilder, changes: Sequence[Change], verdict: OfRecord, id_: str | None = None
) -> list[Outcome]:
    """Nothing is said of single records. `id_`: that of the only one, where the answer has it."""
    uses_id = builder.object.uses_id
    return [outcome(c, verdict, id_ or c.destination_id or (None if uses_id else c.key), None, "") for c in changes]


def refused_call(
    name: str, session: Session, builder: RequestBuilder, response: Response, verdict: OfRecord
) -> Denied | Rejected:
    """Why nothing of a call was applied. Denied where every record would be refused: the address is wrong."""
    request, status = builder.request, response.status_code
    if verdict == "gone" and not parameters(request.path) and request.rows is None:
        return Denied(f"{name} answered {status}: {request.method} {request.path}", status=status)
    said = session.excerpt(response)
    message = f"the endpoint answered {status}" + (f": {said}" if said else "")
    return Rejected(message, code=str(status), status=status, in_row=verdict == "invalid")
