"""Sends changes of one operation, and gives one outcome for each: what its answer says, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from revetl.destinations.http.answers import ApiStatusRow, OfRecord
from revetl.destinations.http.requests import RequestBuilder
from revetl.destinations.http.results import document_of, id_in_answer, outcome, per_record, verdict_of
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
            changes, outcomes = self._with_form(builder, changes)
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

    def _with_form(self, builder: RequestBuilder, changes: Sequence[Change]) -> tuple[list[Change], list[Outcome]]:
        """The changes that can be written down, and outcomes of those that can't: because of what stands in their
        rows. Rejected where the call can't answer per record."""
        request, sent, outcomes = builder.request, list[Change](), list[Outcome]()
        for change in changes:
            try:
                builder.outgoing([change], [builder.record(change)])
                sent.append(change)
            except ValueError as e:
                if request.rows is not None and not request.results:
                    raise Rejected(str(e), code="INVALID_VALUE", in_row=True) from None
                outcomes.append(
                    Outcome(change.ordinal, Status.REJECTED, None, "Rejected", "INVALID_VALUE", str(e), in_row=True)
                )
        return sent, outcomes

    def _read(self, builder: RequestBuilder, response: Response, changes: Sequence[Change]) -> list[Outcome]:
        request, found = builder.request, builder.object
        verdict = verdict_of(self._status, response)
        if verdict == "exists" and found.event_id is not None:
            verdict = "ok"  # it has this event
        if verdict not in ("ok", "accepted"):
            return self._refused(builder, response, changes, verdict)
        document = document_of(response)
        if request.results:
            return self._per_record(builder, response, document, changes)
        id_ = id_in_answer(found, response, document) if request.rows is None else None
        ids = [id_ or c.destination_id or (None if found.uses_id else c.key) for c in changes]
        return [outcome(change, verdict, id_, None, "") for change, id_ in zip(changes, ids, strict=True)]

    def _per_record(
        self, builder: RequestBuilder, response: Response, document: Any, changes: Sequence[Change]
    ) -> list[Outcome]:
        def mask(text: str) -> str:
            return self._session.excerpt(response, text)

        results = per_record(builder.request.results, document, changes, builder.values, mask)
        given = {one.ordinal: one for one in results}
        lost = "the answer says nothing of this record"
        return [
            given.get(c.ordinal) or Outcome(c.ordinal, Status.UNKNOWN, None, "Ambiguous", "NO_RESULT", lost)
            for c in changes
        ]

    def _refused(
        self, builder: RequestBuilder, response: Response, changes: Sequence[Change], verdict: OfRecord
    ) -> list[Outcome]:
        request, status = builder.request, response.status_code
        if verdict == "gone" and not parameters(request.path) and request.rows is None:
            # Of this every record would be refused: the address is wrong, not a record.
            raise Denied(f"{self._name} answered {status}: {request.method} {request.path}", status=status)
        said = self._session.excerpt(response)
        message = f"the endpoint answered {status}" + (f": {said}" if said else "")
        is_done = verdict == "gone" and changes[0].op is Operation.DELETE and len(changes) == 1
        if request.rows is None or is_done:
            code = {"gone": "GONE", "exists": "EXISTS"}.get(verdict, str(status))
            return [outcome(c, verdict, None, code, message) for c in changes]
        raise Rejected(message, code=str(status), status=status, in_row=verdict == "invalid")
