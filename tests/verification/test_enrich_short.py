"""The proofs of enrichment in short: the same code as `python -m verification`, in few rounds."""

from __future__ import annotations

import pytest

from verification import enrich_kills, equal_lookups


def test_a_few_kills_lose_and_double_nothing() -> None:
    tally = enrich_kills.kill(3, people=4)
    assert tally.kills >= 3
    assert tally.paid > 0
    assert (tally.doubled, tally.over, tally.lost, tally.unlike, tally.unseen, tally.asked_later) == (0,) * 6


@pytest.mark.xdist_group("postgres")
def test_equal_lookups_of_two_processes_are_one_charge() -> None:
    tally = equal_lookups.meet(1, processes=2)
    assert tally.charges["people_data_labs"] == 1
    assert (tally.doubled, tally.unlike, tally.in_doubt) == (0, 0, 0)
