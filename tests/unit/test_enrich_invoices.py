"""A vendor's invoice beside the ledger."""

from __future__ import annotations

import io
from datetime import UTC, date
from decimal import Decimal
from pathlib import Path

import pytest

from revetl.enrich.invoices.comparing import LedgerCall, compare
from revetl.enrich.invoices.ledger import charged_calls
from revetl.enrich.invoices.reading import BilledLine, Invoice, read_invoice
from revetl.enrich.lists.files import open_list
from revetl.errors import Ambiguous, ConfigError
from tests.simulation.test_enrich_engine import enrich, number, providers
from tests.support.enrich_fakes import hit, person, warehouse_with

DAY = date(2026, 1, 1)


def line(n: int, usd: str, day: date = DAY, reference: str | None = None) -> BilledLine:
    return BilledLine(n, day, Decimal(usd), reference)


def call(name: str, usd: str, day: date = DAY, request_id: str | None = None, *, in_doubt: bool = False) -> LedgerCall:
    return LedgerCall(name, "r1", "big.person", day, Decimal(usd), request_id, in_doubt)


def read(folder: Path, text: str, **columns: str) -> Invoice:
    (folder / "invoice.csv").write_text(text)
    with open_list(str(folder / "invoice.csv"), io.BytesIO()) as listing:
        return read_invoice(listing, columns)


def test_lines_are_read_and_sums_are_not(tmp_path: Path) -> None:
    found = read(
        tmp_path, 'Date,Amount,Request ID\n2026-01-31T10:00:00Z,$0.30,a\n2026-02-01,"1,000.50",\nTotal,1000.80,\n'
    )
    assert found.lines == [line(2, "0.30", date(2026, 1, 31), "a"), line(3, "1000.50", date(2026, 2, 1))]
    assert found.others == 1


def test_a_column_that_is_not_known_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which column of the invoice is the usd"):
        read(tmp_path, "date,betrag\n2026-01-01,1\n")
    assert read(tmp_path, "date,betrag\n2026-01-01,1\n", usd="betrag").lines == [line(2, "1")]


def test_what_is_equal_agrees_also_a_day_beside() -> None:
    lines = [line(2, "0.30"), line(3, "0.30"), line(4, "0.20", date(2026, 1, 2))]
    found = compare(lines, [call("a", "0.30"), call("b", "0.30"), call("c", "0.20")])
    assert (found.agrees, found.matched, found.billed_usd, found.ledger_usd) == (
        True,
        3,
        Decimal("0.80"),
        Decimal("0.80"),
    )


def test_each_side_tells_what_the_other_lacks() -> None:
    lines = [line(2, "0.30"), line(3, "0.30"), line(4, "0.50"), line(5, "0.90", reference="job")]
    calls = [
        call("a", "0.30"),
        call("b", "0.10"),
        call("lost", "0.60", in_doubt=True),
        call("c", "0.40", request_id="job"),
        call("d", "0.40", request_id="job"),
    ]
    found = compare(lines, calls)
    assert not found.agrees
    assert (found.matched, [c.call_id for c in found.ledger_only]) == (1, ["b"])
    [(billed, lost)] = found.billed_in_doubt
    assert (billed.number, lost.call_id) == (3, "lost"), "it cost no more than its price"
    assert [each.number for each in found.billed_only] == [4]
    [differing] = found.differing
    assert (differing.billed_usd, differing.ledger_usd) == (Decimal("0.90"), Decimal("0.80"))


def test_the_ledger_of_a_vendor() -> None:
    def lost_at_three(inputs: dict[str, str]) -> object:
        if number(inputs) == 3:
            raise Ambiguous("lost")
        return hit("0.20", phone="+1")

    warehouse = warehouse_with([person(n, email="own@acme.example") for n in range(4)])
    enrich(warehouse, providers(big=lost_at_three))
    found = charged_calls(warehouse, "big", DAY, DAY, UTC)
    assert sorted((c.day, c.usd, c.in_doubt) for c in found) == [
        *[(DAY, Decimal("0.2"), False)] * 3,
        (DAY, Decimal("0.2"), True),
    ]
    assert charged_calls(warehouse, "small", DAY, DAY, UTC) == []
