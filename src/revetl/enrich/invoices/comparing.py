"""An invoice beside the ledger: which line is which call.

1. Where a line has a reference that the ledger knows (the vendor's name of a job, or ours of a call), all lines with it
   are the calls with it; their sums are compared.
2. The others are matched by day and amount, then by amount and a day beside it: a vendor's day may begin elsewhere.
3. A line that is left may be a call in doubt of that day or one beside it, which cost at most its price.

Each line and each call is matched once. What is left on one side only is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from revetl.enrich.invoices.reading import BilledLine


@dataclass(frozen=True, slots=True)
class LedgerCall:
    """A call of the ledger that was charged, or that may have been (`in_doubt`: then `usd` is the most)."""

    call_id: str
    run_id: str
    provider: str
    day: date
    usd: Decimal
    request_id: str | None = None
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class ReferenceDifference:
    """Lines and calls of one reference that do not cost the same."""

    reference: str
    billed_usd: Decimal
    ledger_usd: Decimal
    lines: Sequence[int]


@dataclass(slots=True)
class InvoiceComparison:
    """`matched` lines say what the ledger says. `billed_only`: lines of no call. `ledger_only`: charged calls of the
    invoice's days that it does not have. `billed_in_doubt`: lines that are probably a call in doubt."""

    billed_usd: Decimal = Decimal(0)
    ledger_usd: Decimal = Decimal(0)
    matched: int = 0
    differing: list[ReferenceDifference] = field(default_factory=list)
    billed_only: list[BilledLine] = field(default_factory=list)
    ledger_only: list[LedgerCall] = field(default_factory=list)
    billed_in_doubt: list[tuple[BilledLine, LedgerCall]] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return not (self.differing or self.billed_only or self.ledger_only or self.billed_in_doubt)


def compare(lines: Sequence[BilledLine], calls: Sequence[LedgerCall]) -> InvoiceComparison:
    """`calls`: those of the vendor, of the invoice's days and of the day before and after them."""
    found = InvoiceComparison(sum((line.usd for line in lines), Decimal(0)))
    left = _by_reference(found, [line for line in lines if line.usd], calls)
    free, doubtful = _Calls(c for c in left.calls if not c.in_doubt), _Calls(c for c in left.calls if c.in_doubt)
    lines_left = left.lines
    for shift in (0, -1, 1):
        still = []
        for line in lines_left:
            day = line.day + timedelta(days=shift)
            if free.take(day, line.usd, line.usd) is None:
                still.append(line)
            else:
                found.matched += 1
        lines_left = still
    for line in lines_left:
        days = (line.day + timedelta(days=shift) for shift in (0, -1, 1))
        taken = (doubtful.take(day, line.usd, None) for day in days if line.usd > 0)
        call = next((each for each in taken if each is not None), None)
        if call is None:
            found.billed_only.append(line)
        else:
            found.billed_in_doubt.append((line, call))
    first, last = min(line.day for line in lines), max(line.day for line in lines)
    found.ledger_only = [call for call in free.left() if first <= call.day <= last]
    within = [call for call in calls if not call.in_doubt and first <= call.day <= last]
    found.ledger_usd = sum((call.usd for call in within), Decimal(0))
    return found


@dataclass(frozen=True, slots=True)
class _Left:
    lines: list[BilledLine]
    calls: list[LedgerCall]


def _by_reference(found: InvoiceComparison, lines: Sequence[BilledLine], calls: Sequence[LedgerCall]) -> _Left:
    of: dict[str, list[LedgerCall]] = defaultdict(list)
    for call in calls:
        for name in {call.call_id, call.request_id or call.call_id}:
            of[name].append(call)
    named: dict[str, list[BilledLine]] = defaultdict(list)
    for line in lines:
        if line.reference in of:
            named[line.reference or ""].append(line)
    taken = set[str]()
    for reference, its_lines in named.items():
        its_calls = [call for call in of[reference] if call.call_id not in taken]
        taken |= {call.call_id for call in its_calls}
        billed = sum((line.usd for line in its_lines), Decimal(0))
        if its_calls and all(call.in_doubt for call in its_calls):
            found.billed_in_doubt += [(line, its_calls[0]) for line in its_lines]
            continue
        charged = sum((call.usd for call in its_calls if not call.in_doubt), Decimal(0))
        if billed == charged:
            found.matched += len(its_lines)
        else:
            numbers = [line.number for line in its_lines]
            found.differing.append(ReferenceDifference(reference, billed, charged, numbers))
    return _Left(
        [line for line in lines if line.reference not in of],
        [call for call in calls if call.call_id not in taken and call.usd],
    )


class _Calls:
    """Calls by day, each taken once."""

    def __init__(self, calls: Iterable[LedgerCall]) -> None:
        self._of: Mapping[date, list[LedgerCall]] = defaultdict(list)
        for call in calls:
            self._of[call.day].append(call)

    def take(self, day: date, least: Decimal, most: Decimal | None) -> LedgerCall | None:
        """The first of that day that costs no less, and no more; None: no limit."""
        of = self._of[day]
        place = next((i for i, c in enumerate(of) if least <= c.usd and (most is None or c.usd <= most)), None)
        return None if place is None else of.pop(place)

    def left(self) -> list[LedgerCall]:
        return [call for of in self._of.values() for call in of]
