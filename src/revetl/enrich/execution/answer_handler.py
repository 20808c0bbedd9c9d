"""The one place where what happened to a call becomes an outcome, money and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

from revetl.enrich.execution.admission import Ended, Job, RunLedger
from revetl.enrich.execution.in_flight import Sent, Submitted
from revetl.enrich.execution.outcomes import answered, why
from revetl.enrich.report import ProviderReport
from revetl.enrich.selection.query import Question
from revetl.errors import Ambiguous, CallError, Denied, Rejected
from revetl.providers.base import Answer
from revetl.state.calls import CallOutcome, append_submitted
from revetl.state.values import ValueRow

UNAVAILABLE_IN_A_ROW = 20  # requests; then the provider is left alone for the rest of the run


class Settling:
    """Of one provider in one run. `interpret` turns an answer into rows of values, `keep_hold` says whether what was
    set aside with a call (`hold_usd`) is still needed after such values. `on_suppressed` runs in the transaction that
    writes the outcome."""

    def __init__(
        self,
        ledger: RunLedger,
        report: ProviderReport,
        hold_usd: Decimal,
        batch: int,
        *,
        interpret: Callable[[Job, Answer, datetime], list[ValueRow]],
        keep_hold: Callable[[Sequence[ValueRow]], bool],
        on_suppressed: Callable[[Question], None],
    ) -> None:
        self._ledger = ledger
        self._budget = ledger.budget
        self._report = report
        self._hold_usd = hold_usd
        self._batch = batch
        self._interpret = interpret
        self._keep_hold = keep_hold
        self._on_suppressed = on_suppressed
        self._request_ids: dict[str, str] = {}
        self._suppressed: list[Question] = []
        self._unavailable = 0
        self.unwritten: list[Ended] = []
        self.gave_up: str | None = None
        self.failure: Exception | None = None

    def submitted(self, taken: Submitted) -> None:
        append_submitted(self._ledger.warehouse, [job.call for job in taken.jobs], taken.request_id)
        self._request_ids |= {job.call.call_id: taken.request_id for job in taken.jobs}
        taken.durable.set()

    def settle(self, sent: Sent) -> None:
        values: list[ValueRow] = []
        if sent.answer is not None:
            values = self._interpret(sent.job, sent.answer, sent.at) if sent.answer.status == "hit" else []
            outcome = self._answered(sent, sent.answer)
            self._unavailable = 0
        else:
            outcome = self._unanswered(sent)
        self._request_ids.pop(sent.job.call.call_id, None)
        reserved = sent.job.call.expected_usd
        if outcome.charged_usd is None:
            self._budget.doubt(reserved)
            self._report.in_doubt += 1
            self._report.in_doubt_usd += reserved
        else:
            self._budget.settle(reserved, outcome.charged_usd)
            self._report.spent_usd += outcome.charged_usd
        keeps_hold = self._keep_hold(values)
        if not keeps_hold:
            self._budget.release(self._hold_usd)
        self._report.asked += sent.left
        self.unwritten.append(Ended(sent.job, outcome, values, keeps_hold))

    def write(self) -> list[Ended]:
        """Outcomes and the values that came with them, in one transaction. Gives what was written."""
        written = self.unwritten
        if written:
            with self._ledger.warehouse.transaction():
                self._ledger.write(written)
                for question in self._suppressed:
                    self._on_suppressed(question)
            self.unwritten, self._suppressed = [], []
        return written

    def _answered(self, sent: Sent, answer: Answer) -> CallOutcome:
        status = answer.status
        if status == "suppressed":
            self._suppressed.append(sent.job.question)
            status = "error"
        self._report.hits += status == "hit"
        self._report.misses += status == "miss"
        self._report.errors += answer.status == "error"
        # A person who asked to be forgotten is not kept in the ledger's copy of the answer either.
        response = None if answer.status == "suppressed" else answer.response
        return answered(status, answer, sent.at, response, self._request_ids.get(sent.job.call.call_id))

    def _unanswered(self, sent: Sent) -> CallOutcome:
        error = sent.error
        if not sent.left:
            return CallOutcome("error", sent.at, charged_usd=Decimal(0), response={"error": "not_sent"})
        if error is None or not isinstance(error, CallError) or isinstance(error, Ambiguous):
            # Interrupted, or a fault of ours: the provider may have done it.
            if error is not None and not isinstance(error, CallError):
                self.failure = error
            request_id = self._request_ids.get(sent.job.call.call_id)
            return CallOutcome("in_doubt", sent.at, response=why(error), request_id=request_id)
        self._report.errors += 1
        if isinstance(error, Rejected):
            return CallOutcome("error", sent.at, error.status or 400, Decimal(0), response=why(error))
        if not isinstance(error, Denied):
            self._unavailable += 1
            if self._unavailable >= UNAVAILABLE_IN_A_ROW * self._batch:
                self.gave_up = str(error)
        return CallOutcome("error", sent.at, charged_usd=Decimal(0), response=why(error))
