"""The proofs of enrichment in short: the same code as `python -m verification`, in few rounds."""

from __future__ import annotations

from verification import enrich_kills


def test_a_few_kills_lose_and_double_nothing() -> None:
    tally = enrich_kills.kill(3, people=4)
    assert tally.kills >= 3
    assert tally.paid > 0
    assert (tally.doubled, tally.over, tally.lost, tally.unlike, tally.unseen, tally.asked_later) == (0,) * 6
