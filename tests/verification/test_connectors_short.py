"""The kills in front of connectors in short: that they are played, that nothing is found, and that it could be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from verification.connector_places import Standing, files
from verification.connectors import Tally, play


def test_a_folder_of_files(tmp_path: Path) -> None:
    [place] = files(tmp_path, ("a folder",))
    tally = play(place, tmp_path, kills=1, seed=2)
    assert tally.kills
    assert tally.first_failure == ""


def test_a_connector_that_says_done_and_does_nothing_is_found(tmp_path: Path) -> None:
    [place] = files(tmp_path, ("a folder",))
    nowhere = replace(place, standing=dict)
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
