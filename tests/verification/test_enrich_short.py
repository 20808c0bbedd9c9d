"""The proofs of enrichment in short: the same code as `python -m verification`, in few rounds."""

from __future__ import annotations

import pytest

from verification import calibration, enrich_kills, equal_lookups, list_calibration, makespan


def test_a_few_kills_lose_and_double_nothing() -> None:
    tally = enrich_kills.kill(2, people=3)
    assert tally.kills >= 2
    assert tally.paid > 0
    assert (tally.doubled, tally.over, tally.lost, tally.unlike, tally.unseen, tally.asked_later) == (0,) * 6
    assert all(n <= enrich_kills.in_doubt_at_most(name) for name, n in tally.left.items())


@pytest.mark.xdist_group("postgres")
def test_equal_lookups_of_two_processes_are_one_charge() -> None:
    tally = equal_lookups.meet(1, processes=2)
    assert tally.charges["people_data_labs"] == 1
    assert (tally.doubled, tally.unlike, tally.in_doubt) == (0, 0, 0)


def test_a_short_makespan_asks_everybody_once() -> None:
    made = makespan.run(makespan.SINGLES[:2], 120)
    assert made.asked_twice == 0
    assert [part.refused for part in made.providers] == [0, 0]
    assert made.providers[0].asked == 120


def test_a_short_calibration_has_intervals() -> None:
    tally = calibration.play(1, batches=(20, 40))
    assert tally.runs == 1
    assert [(g.what, g.first) for g in tally.guesses] == [
        (what, first) for first in (True, False) for what in ("cost", "email", "job_title")
    ]
    assert all(guess.low <= guess.expected <= guess.high for guess in tally.guesses)
    assert not tally.over_greatest


def test_a_list_of_golden_records_and_strangers_is_foreseen() -> None:
    with makespan.truth(14) as folder:
        tally = list_calibration.play_world(folder, 10, 4, 1, [(0.5, "names")])
    (guess,) = tally.guesses[0.5, "names"]
    assert guess.low <= guess.came <= guess.high
    assert guess.came > 0, "whom a name leads to is found and paid for"
    assert not tally.over_greatest
