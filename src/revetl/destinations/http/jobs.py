"""Jobs: the answer to a call names one, and what became of its records is known once it has ended.

What can fail here and what then happens:
- the answer that names the job is lost → its records are in doubt, as after any lost answer.
- the answer to a question is lost, or the API is away → it is asked again, by this run or by the next one.
- the API does not know the job any more → its records are unknown, and are looked for.
- an address that was given for a job lies elsewhere than the account → Denied: nothing goes there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, urlencode

from revetl.clock import Clock
from revetl.destinations.http.answers import ApiJob
from revetl.destinations.http.given_address import request_of_address
from revetl.destinations.http.reading import ApiReader
from revetl.destinations.http.requests import RequestBuilder
from revetl.destinations.http.results import ResultReader, as_text_of, document_of, equals
from revetl.destinations.http.syntax import fill
from revetl.destinations.http.values import at, listed
from revetl.destinations.http.writing import ApiWriter, applied_whole, refused_call, writable
from revetl.errors import Ambiguous, CallError, Denied, Rejected, Unavailable
from revetl.http import Response, Session, SessionRequest
from revetl.model import Change, Outcome, Status

_LONGEST_ID = 1_000
# How long a call that nobody follows is waited for: about four minutes.
_PAUSES_S = (1, 2, 4, 8, 15, *(30,) * 7)


class ApiJobs:
    """Of one account at `base_url`."""

    def __init__(
        self, name: str, base_url: str, session: Session, writer: ApiWriter, reader: ApiReader, clock: Clock
    ) -> None:
        self._name, self._base_url, self._session = name, base_url, session
        self._writer, self._reader, self._clock = writer, reader, clock

    async def submit(self, builder: RequestBuilder, job: ApiJob, changes: Sequence[Change], repeatable: bool) -> str:
        """The job's id, or its address below `base_url`. Rejected: nothing of it was taken. Ambiguous: it may have
        been, and nobody knows under which name."""
        sent, refused = writable(builder, changes)
        if not sent:
            raise Rejected(str(refused[0].message), code=refused[0].error_code, in_row=True)
        outgoing = builder.outgoing(sent, [builder.record(change) for change in sent])
        response = await self._session.send(outgoing, idempotent=repeatable)
        verdict = self._writer.verdict(response)
        if verdict not in ("ok", "accepted"):
            refusal = refused_call(self._name, self._session, builder, response, verdict)
            if isinstance(refusal, Rejected):
                # Of several nobody can say whose values were meant, and a job is not halved: all are tried again.
                refusal.in_row = refusal.in_row and len(sent) == 1
            raise refusal
        return self._job_named(job, outgoing, response)

    async def follow(
        self, builder: RequestBuilder, job: ApiJob, job_id: str, changes: Sequence[Change]
    ) -> list[Outcome] | None:
        """Asks once. None while the job runs; raises as `RunsJobs.follow`."""
        try:
            document, response = await self._reader.ask(self._question(job, job_id))
            if document is None and self._writer.verdict(response) == "gone":
                raise Ambiguous(f"{self._name} does not know the job any more", code="NO_JOB", status=404)
            state = self._state(job, document, response)
            if state == "runs":
                return None
            if state == "failed":
                said = self._session.excerpt(response, as_text_of(at(document, job.message)) or "")
                raise Rejected("the job failed" + (f": {said}" if said else ""), code="JOB_FAILED")
            if state == "unknown":
                raise Ambiguous(f"{self._name} gave the job up, and says of no record", code="JOB_UNKNOWN")
            documents = [document] if job.results_path is None else await self._results(job, job_id)
        except Ambiguous as e:
            if e.code in ("NO_JOB", "JOB_UNKNOWN"):
                raise
            raise Unavailable(str(e), code=e.code, status=e.status) from None  # the job is there, and is asked again
        sent, refused = writable(builder, changes)
        if not job.results:
            return refused + applied_whole(builder, sent, "ok")
        mask = partial(self._session.excerpt, response)
        return refused + ResultReader(job.results, job.unnamed, builder.values, mask).read(documents, sent)

    async def write(
        self, builder: RequestBuilder, job: ApiJob, changes: Sequence[Change], repeatable: bool
    ) -> list[Outcome]:
        """Submits and follows in one, for what the engine does not follow. What still runs after about four minutes is
        accepted. Raises as `Destination.write`."""
        try:
            job_id = await self.submit(builder, job, changes, repeatable)
        except Ambiguous as e:
            return [_unknown(change, e) for change in changes]
        for pause_s in _PAUSES_S:
            try:
                outcomes = await self.follow(builder, job, job_id, changes)
            except Rejected:
                raise
            except CallError as e:  # the job may have been applied all the same
                return [_unknown(change, e) for change in changes]
            if outcomes is not None:
                return outcomes
            await self._clock.sleep(pause_s)
        return [Outcome(change.ordinal, Status.ACCEPTED, change.destination_id) for change in changes]

    def _job_named(self, job: ApiJob, outgoing: SessionRequest, response: Response) -> str:
        if job.id is not None:
            found = as_text_of(at(document_of(response), job.id))
        else:
            given = response.headers.get("location")
            if job.address is not None:
                given = as_text_of(at(document_of(response), job.address))
            try:
                found = self._below(outgoing, given) if given else None
            except Denied as e:  # the job is there all the same
                raise Ambiguous(str(e), code="NO_JOB_ID") from None
        if not found or len(found) > _LONGEST_ID or not found.isprintable():
            # Something may have been taken: what it is called, nobody can say.
            raise Ambiguous(f"{self._name} answered {response.status_code} without a job", code="NO_JOB_ID")
        return found

    def _below(self, outgoing: SessionRequest, given: str) -> str:
        at_ = request_of_address(self._name, self._base_url, outgoing, given, "the job")
        return at_.path + (f"?{urlencode(at_.params)}" if at_.params else "")

    def _question(self, job: ApiJob, job_id: str) -> SessionRequest:
        """What stood in our state is checked again: credentials go where it leads."""
        if job.path is not None:
            return self._at(job.path, job_id)
        own = SessionRequest("GET", "/", shown_as="a job")
        return request_of_address(self._name, self._base_url, own, f"{self._base_url.rstrip('/')}{job_id}", "the job")

    def _at(self, path: str, job_id: str) -> SessionRequest:
        if job_id in (".", ".."):
            raise Denied(f"{self._name}: the id of the job would lead to another place than {path}")
        return SessionRequest("GET", fill(path, {"job": quote(job_id, safe="")}), shown_as=path)

    def _state(self, job: ApiJob, document: Any, response: Response) -> Literal["runs", "done", "failed", "unknown"]:
        if job.state is None:
            return "runs" if response.status_code == 202 else "done"
        found = at(document, job.state)
        if found is None:
            # It would run for ever: the pointer leads past what the API answers.
            raise Denied(f"{self._name} answered without a state at {job.state!r} when it was asked after a job")
        for state in ("done", "failed", "unknown"):
            if equals(found, list(getattr(job, state))):
                return state
        return "runs"

    async def _results(self, job: ApiJob, job_id: str) -> list[Any]:
        def items(page: Any) -> list[Any] | None:
            lists = [listed(page, spec.at) for spec in job.results]
            return None if lists == [None] * len(lists) else [item for one in lists for item in one or []]

        return [page async for page in self._reader.pages(self._at(str(job.results_path), job_id), job.page, items)]


def _unknown(change: Change, error: CallError) -> Outcome:
    return Outcome(change.ordinal, Status.UNKNOWN, None, "Ambiguous", error.code, str(error))
