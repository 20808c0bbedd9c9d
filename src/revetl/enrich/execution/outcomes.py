"""What came of a call, as an outcome in the ledger, as money, and as values. It happens here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from revetl.enrich.execution.answer_spool import KeptAnswer
from revetl.enrich.execution.answers import AnswerHandler
from revetl.enrich.execution.in_flight import CallResult, SubmittedLookup
from revetl.enrich.execution.run_ledger import FinishedCall, ReservedCall, RunLedger
from revetl.enrich.execution.usable_answers import UsableAnswers
from revetl.enrich.report import ProviderReport
from revetl.enrich.selection.question import Question
from revetl.errors import Ambiguous, CallError, Denied, Rejected
from revetl.providers.base import Answer
from revetl.state.calls import CallOutcome, CallStatus, append_submitted
from revetl.state.values import ValueRow

MILLIONTH = Decimal("0.000001")  # the ledger's unit
UNAVAILABLE_IN_A_ROW = 20  # requests; then the provider is left alone for the rest of the run


class OutcomeRecorder:
    """Of one provider in one run. `verification_usd` is what was reserved with each call for verifying its answer;
    `batch` is how many calls a request holds.

    `gave_up` is the reason why the provider is left alone. `failure` is a fault of ours in a provider, to be raised
    when the outcomes are written.
    """

    def __init__(
        self, ledger: RunLedger, report: ProviderReport, handler: AnswerHandler, verification_usd: Decimal, batch: int
    ) -> None:
        self._ledger = ledger
        self._report = report
        self._handler = handler
        self._verification_usd = verification_usd
        self._batch = batch
        self._request_ids: dict[str, str] = {}
        self._suppressed: list[Question] = []
        self._unavailable = 0
        self._usable = UsableAnswers()
        self._reserved_usd = self._charged_usd = Decimal(0)  # of the calls that were answered with a charge
        self.unwritten: list[FinishedCall] = []
        self.gave_up: str | None = None
        self.failure: Exception | None = None

    def job_submitted(self, job: SubmittedLookup, *, durable: bool = True) -> None:
        """`durable` False: its id can't be written now, and goes with the outcomes of its calls."""
        if durable:
            append_submitted(self._ledger.warehouse, [reserved.call for reserved in job.calls], job.request_id)
        self._request_ids |= {reserved.call.call_id: job.request_id for reserved in job.calls}
        job.durable.set()

    def add(self, result: CallResult) -> None:
        """Settles the money of the call and counts it; its outcome is written by the next `write`."""
        values: list[ValueRow] = []
        if result.answer is not None:
            if result.answer.status == "hit":
                values = self._handler.values(result.reserved, result.answer, result.at)
            outcome = self._answered(result, result.answer)
            self._unavailable = 0
            self.gave_up = self.gave_up or self._usable.reason_to_stop(result.reserved.call.provider, result.answer)
        else:
            outcome = self._unanswered(result)
        self._request_ids.pop(result.reserved.call.call_id, None)
        if outcome.charged_usd:
            self._reserved_usd += result.reserved.call.expected_usd
            self._charged_usd += outcome.charged_usd
        follows = self._handler.needs_verification(values)
        self._settle(result.reserved.call.expected_usd, outcome.charged_usd, verification_follows=follows)
        self._report.asked += result.left
        self.unwritten.append(FinishedCall(result.reserved, outcome, values, follows))

    def write(self) -> list[FinishedCall]:
        """Outcomes and the values that came with them, in one transaction. Gives what was written."""
        written = self.unwritten
        if written:
            with self._ledger.warehouse.transaction():
                self._ledger.write(written)
                for question in self._suppressed:
                    self._handler.suppress(question)
            self.unwritten, self._suppressed = [], []
            self.gave_up = self.gave_up or self._dearer_than_declared(written[-1].reserved.call.provider)
        return written

    def _dearer_than_declared(self, provider: str) -> str | None:
        """Why nobody should ask on: no budget holds where calls cost more than is reserved for them. Judged over whole
        batches, since a vendor may charge one call for all of its batch."""
        if self._charged_usd <= self._reserved_usd:
            return None
        return (
            f"${self._charged_usd:,.2f} were charged where its file says at most ${self._reserved_usd:,.2f}; "
            f"set the price of {provider} right in it"
        )

    def kept(self, unsure: Sequence[ReservedCall]) -> list[KeptAnswer]:
        """What came and could not be written. Calls that are `unsure` never left."""
        now = self._ledger.clock.now()
        return [
            *(
                KeptAnswer(
                    each.reserved.call,
                    each.outcome,
                    each.values,
                    each.reserved.question.identities if each.reserved.question in self._suppressed else (),
                )
                for each in self.unwritten
            ),
            *(KeptAnswer(each.call, _not_sent(now)) for each in unsure),
        ]

    def _settle(self, reserved_usd: Decimal, charged_usd: Decimal | None, *, verification_follows: bool) -> None:
        """In the run's own budget. `charged_usd` None: nobody knows."""
        budget = self._ledger.budget
        if charged_usd is None:
            budget.doubt(reserved_usd)
            self._report.in_doubt += 1
            self._report.in_doubt_usd += reserved_usd
        else:
            budget.settle(reserved_usd, charged_usd)
            self._report.spent_usd += charged_usd
        if not verification_follows:
            budget.release(self._verification_usd)

    def _answered(self, result: CallResult, answer: Answer) -> CallOutcome:
        status = answer.status
        if status == "suppressed":
            self._suppressed.append(result.reserved.question)
            status = "error"
        self._report.hits += status == "hit"
        self._report.misses += status == "miss"
        self._report.errors += answer.status == "error"
        # A person who asked to be forgotten is not kept in the ledger's copy of the answer either.
        response = None if answer.status == "suppressed" else answer.response
        return answered(status, answer, result.at, response, self._request_ids.get(result.reserved.call.call_id))

    def _unanswered(self, result: CallResult) -> CallOutcome:
        error = result.error
        if not result.left:
            return _not_sent(result.at)
        if error is None or not isinstance(error, CallError) or isinstance(error, Ambiguous):
            # Interrupted, or a fault of ours: the provider may have done it.
            if error is not None and not isinstance(error, CallError):
                self.failure = error
            request_id = self._request_ids.get(result.reserved.call.call_id)
            return CallOutcome("in_doubt", result.at, response=why(error), request_id=request_id)
        self._report.errors += 1
        if isinstance(error, Rejected):
            return CallOutcome("error", result.at, error.status or 400, Decimal(0), response=why(error))
        if not isinstance(error, Denied):
            self._unavailable += 1
            if self._unavailable >= UNAVAILABLE_IN_A_ROW * self._batch:
                self.gave_up = str(error)
        return CallOutcome("error", result.at, charged_usd=Decimal(0), response=why(error))


def _not_sent(at: datetime) -> CallOutcome:
    return CallOutcome("error", at, charged_usd=Decimal(0), response={"error": "not_sent"})


def answered(status: CallStatus, answer: Answer, at: datetime, response: object, request_id: str | None) -> CallOutcome:
    """The outcome of an answer; `response` is what the ledger keeps of it."""
    credits = {name: count.quantize(MILLIONTH) for name, count in answer.credits.items()}
    return CallOutcome(
        status,
        at,
        answer.http_status,
        answer.charged_usd.quantize(MILLIONTH),
        answer.latency_ms,
        response,
        request_id,
        credits.get("charged"),
        credits.get("remaining"),
    )


def why(error: Exception | None) -> dict[str, object]:
    """For the ledger: the class and the vendor's words for it, never a message, which may quote a value."""
    if error is None:
        return {"error": "interrupted"}
    found: dict[str, object] = {"error": type(error).__name__}
    if isinstance(error, CallError):
        found |= {"code": error.code, "status": error.status}
    return found
