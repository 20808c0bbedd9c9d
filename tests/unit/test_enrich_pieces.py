"""A long list is read in pieces: the same questions in the same order, and the same cohorts, as at once."""

from __future__ import annotations

from typing import Any

import pytest

from revetl.enrich.selection import cohorts, questions
from revetl.enrich.selection.cohorts import CohortSelection
from revetl.enrich.selection.scope import Scope
from tests.simulation.test_enrich_engine import providers
from tests.support.enrich_fakes import PEOPLE, START, person, warehouse_with, waterfall

TWICE = 4  # people who stand in two rows


@pytest.fixture(scope="module")
def selection() -> Any:
    people = [person(n, email=f"a{n}@x.example" if n % 3 else None) for n in range(40)]
    people += [{**person(n), "golden_id": f"again{n}"} for n in range(0, 3 * TWICE, 3)]
    specs = {name: vendor.spec for name, vendor in providers().items()}
    return CohortSelection(
        Scope(
            warehouse=warehouse_with(people),
            spec=waterfall(),
            providers=specs,
            relation=PEOPLE,
            entity="adhoc:contacts",
            run_id="r1",
            now=START,
        )
    )


def test_questions_and_cohorts_are_the_same_in_pieces(selection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = selection.spec.stages
    whole = [list(selection.stream(stage)) for stage in stages]
    assert [sum(len(question.keys) for question in found) for found in whole] == [40 + TWICE, 14 + TWICE]
    counted = list(selection.cohorts())
    for size in (1, 7, 43):
        monkeypatch.setattr(questions, "PIECE_RECORDS", size)
        monkeypatch.setattr(cohorts, "PIECE_RECORDS", size)
        assert [list(selection.stream(stage)) for stage in stages] == whole
        assert list(selection.cohorts()) == counted
