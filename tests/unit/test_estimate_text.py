"""What is printed of an estimate, and what of it stands in the JSON."""

from __future__ import annotations

from decimal import Decimal

import pytest

from revetl.cli.render.documents import enrich_document
from revetl.cli.render.estimates import show_estimates
from revetl.enrich.report import Estimate, StageEstimate
from revetl.usecases.enrich import EnrichResult

STAGES = (
    StageEstimate("big.person", 90, 1.4, 0.8, False, Decimal("0.31"), Decimal("25.2"), spared=412),
    StageEstimate("small.email", 20, 20, 0.5, False, Decimal("0.30"), Decimal("0.6"), spared=1, again=7),
)
SAID = Estimate("contacts", STAGES, suppressed=3)


def test_what_is_spared_is_told_by_provider(capsys: pytest.CaptureFixture[str]) -> None:
    show_estimates([SAID])
    said = capsys.readouterr().err
    assert "big.person: 412 already asked with other inputs: $0" in said
    assert "small.email: 1 already asked with other inputs: $0" in said
    assert "small.email: 7 not found before are asked again" in said
    assert "3 suppressed or erased: nobody is asked about them" in said


def test_the_json_tells_the_same() -> None:
    document = enrich_document(EnrichResult(estimates=[SAID]))
    (said,) = document["estimates"]
    assert [(s["provider"], s["spared"], s["again"]) for s in said["stages"]] == [
        ("big.person", 412, 0),
        ("small.email", 1, 7),
    ]
    assert said["suppressed"] == 3


def test_a_row_of_few_lookups_agrees_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    show_estimates([SAID])
    row = next(line.split() for line in capsys.readouterr().err.splitlines() if line.startswith("big.person "))
    at_most, expected, rate, _, usd, _ = row[1:]
    assert (at_most, expected, rate, usd) == ("90", "1.4", "80%", "$0.31")
    assert float(expected) * float(rate.strip("%")) / 100 * 0.28 == pytest.approx(float(usd.strip("$")), abs=0.005)
