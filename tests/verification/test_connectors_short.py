"""The kills in front of connectors in a short form: they are played, nothing is found, and it could be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from verification.connector_places import Standing, a_folder
from verification.connectors import Tally, play


def test_a_folder_of_files(tmp_path: Path) -> None:
    tally = play(a_folder(tmp_path / "there"), tmp_path, kills=1, seed=2)
    assert tally.kills
    assert tally.first_failure == ""


def test_a_connector_that_says_done_and_does_nothing_is_found(tmp_path: Path) -> None:
    nowhere = replace(a_folder(tmp_path / "there"), standing=dict)
    tally = play(nowhere, tmp_path, kills=1, seed=2)
    assert tally.lost > 10
    assert tally.first_failure.startswith("round 1: lost")


@pytest.mark.parametrize(
    ("stands", "unknown", "counts"),
    [
        ({"a": ["1"], "b": ["2"]}, set(), (0, 0, 0)),
        ({"a": ["1"]}, set(), (1, 0, 0)),
        ({"a": ["1"]}, {"b"}, (0, 0, 0)),
        ({"a": ["1"], "b": ["1"]}, set(), (0, 1, 0)),
        ({"a": ["1"], "b": ["2"], "c": ["3"]}, set(), (0, 1, 0)),
        ({"a": ["1", "1"], "b": ["2"]}, set(), (0, 0, 1)),
    ],
)
def test_what_stands_is_told_apart(stands: Standing, unknown: set[str], counts: tuple[int, int, int]) -> None:
    tally = Tally()
    tally.judge({"a": "1", "b": "2"}, stands, frozenset(unknown))
    assert (tally.lost, tally.stale, tally.doubled) == counts
    assert bool(tally.first_failure) is any(counts)
