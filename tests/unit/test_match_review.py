"""A review: what is drawn, what the file holds, and whether its answers say how good the clusters are."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from revetl.errors import ConfigError
from revetl.golden.cells import cluster_table, labels_in_warehouse
from revetl.golden.clusters import Score
from revetl.golden.curve import (
    ThresholdPoint,
    WeighedPairs,
    best_point,
    labelled_weights,
    reviewed_weights,
    threshold_curve,
)
from revetl.golden.pictures import curve_svg
from revetl.golden.review.bands import Band, allotted
from revetl.golden.review.estimate import review_scores
from revetl.golden.review.review_file import ReviewedPair, is_review, read_review, write_review
from revetl.golden.review.sampling import DrawnPair, draw, values
from revetl.model import Relation
from revetl.seeded_random import Seeded
from revetl.warehouse.base import Warehouse
from tests.support.warehouses import SCHEMA, new_warehouse

PAIRS, CLUSTERS, LABELS = (Relation(SCHEMA, name) for name in ("pairs", "clusters", "labels"))


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in ("duckdb", "postgres")]
)
def warehouse(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Sixty records in clusters of three, of which a and b were compared, and b and c; and pairs across."""
    with new_warehouse(request.param, tmp_path_factory.mktemp("review")) as found:
        found.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        found.execute(f"CREATE TABLE {SCHEMA}.clusters (node VARCHAR, cluster VARCHAR, name VARCHAR)")
        found.execute(f"CREATE TABLE {SCHEMA}.pairs (left_key VARCHAR, right_key VARCHAR, weight DOUBLE)")
        found.execute(f"CREATE TABLE {SCHEMA}.labels (record VARCHAR, cluster VARCHAR)")
        for n in range(20):
            a, b, c = (f"{letter}{n:02}" for letter in "abc")
            after = f"a{(n + 1) % 20:02}"
            for record in (a, b, c):
                found.execute(f"INSERT INTO {SCHEMA}.clusters VALUES (?, ?, ?)", [record, a, f"=name {record}"])
                found.execute(f"INSERT INTO {SCHEMA}.labels VALUES (?, ?)", [record, a if record != c else c])
            rows = [(a, b, 9.0), (b, a, 3.0), (b, c, 2.25), (c, after, -6.0), (a, after, None)]
            for left, right, weight in rows:
                found.execute(f"INSERT INTO {SCHEMA}.pairs VALUES (?, ?, ?)", [left, right, weight])
        yield found


def test_each_band_is_drawn_from_and_the_same_seed_draws_the_same(warehouse: Warehouse) -> None:
    clusters = cluster_table(warehouse, CLUSTERS)
    drawn = draw(warehouse, PAIRS, clusters, n_pairs=40, seed=1)
    assert {pair.band.name: pair.band.n_pairs for pair in drawn} == {
        "joined, 8 to 16 bits": 20,
        "joined, 0 to 4 bits": 20,
        "joined, not compared": 20,
        "apart, -8 to -4 bits": 20,
        "apart, vetoed": 20,
    }
    assert len(drawn) == 40
    assert sum(pair.band.joined for pair in drawn) == 20
    # Two rows of one pair are one pair, by its highest weight; nothing is drawn twice.
    assert len({(pair.left_key, pair.right_key) for pair in drawn}) == 40
    assert {pair.weight for pair in drawn if pair.band.score == "8 to 16 bits"} == {9.0}
    assert draw(warehouse, PAIRS, clusters, n_pairs=40, seed=1) == drawn
    assert draw(warehouse, PAIRS, clusters, n_pairs=40, seed=2) != drawn
    # The order is that of a hash, which every warehouse computes alike.
    hashes = [hashlib.md5(f"1|{pair.left_key}|{pair.right_key}".encode()).hexdigest() for pair in drawn]
    assert hashes == sorted(hashes)
    # Whoever answers the first half has answered some of each band.
    assert {pair.band for pair in drawn[:25]} == {pair.band for pair in drawn}


def test_pairs_without_a_weight_are_drawn_by_rule(warehouse: Warehouse) -> None:
    warehouse.execute(
        f"CREATE TABLE {SCHEMA}.ruled AS SELECT left_key, right_key, 'email' AS match_rule FROM {SCHEMA}.pairs"
    )
    drawn = draw(warehouse, Relation(SCHEMA, "ruled"), cluster_table(warehouse, CLUSTERS), n_pairs=20, seed=1)
    assert {pair.band.name for pair in drawn} == {"joined, email", "joined, not compared", "apart, email"}
    with pytest.raises(ConfigError, match="not built"):
        draw(warehouse, Relation(SCHEMA, "nowhere"), cluster_table(warehouse, CLUSTERS), n_pairs=20, seed=1)


def test_the_surest_bands_get_fewer_and_small_ones_are_taken_whole() -> None:
    bands = [Band("16 bits and more", True, 10_000), Band("0 to 4 bits", True, 10_000), Band("vetoed", False, 3)]
    found = allotted(bands, 100)
    assert found["apart, vetoed"] == 3
    assert found["joined, 16 bits and more"] + found["joined, 0 to 4 bits"] == 50
    assert found["joined, 0 to 4 bits"] > 2 * found["joined, 16 bits and more"] >= 10


KEYS = ["00017", "1e5", "=A1", "a;=b|c,\td", "ключ@x.example", "-5"]


def test_a_review_gives_back_its_keys_and_is_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    band = Band("0 to 4 bits", True, 1234)
    pairs = [DrawnPair(key, f"{key}x", band, -2.5) for key in KEYS]
    shown = {key: (f'=HYPERLINK("http://x.example/{key}")', "Zoë;=1+1") for key in KEYS}
    write_review(path, pairs, ["name", "=cmd"], shown)
    assert path.stat().st_mode & 0o077 == 0
    assert is_review(path)
    for row in csv.reader(io.StringIO(path.read_text("utf-8-sig"))):
        for cell in row:
            assert cell[:1] not in ("=", "+", "@")
            assert ";=" not in cell
    assert [(p.left_key, p.right_key, p.band, p.weight, p.same) for p in read_review(path)] == [
        (key, f"{key}x", band, -2.5, None) for key in KEYS
    ]
    with pytest.raises(ConfigError, match="there already"):
        write_review(path, pairs, ["name", "=cmd"], shown)


def test_answers_are_read_as_a_spreadsheet_saves_them(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    write_review(path, [DrawnPair("a", "b", Band("0 to 4 bits", True, 9), 2.5)] * 5, [], {})
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
    for row, answer in zip(rows[1:], ("Yes", " no ", "", "?", "J"), strict=True):
        row[0] = answer
        row[-1] = row[-1].replace(".", ",")
    text = io.StringIO()
    csv.writer(text, delimiter=";").writerows([*rows[:-1], ["", "", ""]])
    path.write_text(text.getvalue(), encoding="utf-8")
    assert [(p.same, p.weight) for p in read_review(path)] == [(True, 2.5), (False, 2.5), (None, 2.5), (None, 2.5)]
    csv.writer(text, delimiter=";").writerow(rows[-1])
    path.write_text(text.getvalue(), encoding="utf-8")
    with pytest.raises(ConfigError, match="'J' is neither yes nor no") as raised:
        read_review(path)
    assert f"{path}:7" in str(raised.value)


def reviewed(band: Band, n: int, yes: int) -> list[ReviewedPair]:
    right = "a" if band.joined else "b"
    return [ReviewedPair("a", right, band, None, i < yes) for i in range(n)]


CLUSTER = {"a": "1", "b": "2"}


def test_answers_speak_for_their_whole_band() -> None:
    pairs = [
        *reviewed(Band("8 to 16 bits", True, 900), 10, 10),
        *reviewed(Band("0 to 4 bits", True, 100), 10, 5),
        *reviewed(Band("-4 to 0 bits", False, 400), 20, 5),
    ]
    found = review_scores(pairs, CLUSTER)
    assert found.precision is not None
    assert found.recall is not None
    assert found.precision.value == pytest.approx(0.95)
    assert found.recall.value == pytest.approx(950 / 1050)
    # Ten of ten is not certainty for nine hundred.
    assert found.precision.low < 0.9 < found.precision.high <= 1
    assert review_scores(pairs, CLUSTER) == found


def test_a_band_that_was_reviewed_whole_is_known_exactly() -> None:
    pairs = [*reviewed(Band("0 to 4 bits", True, 10), 10, 8), *reviewed(Band("vetoed", False, 5), 5, 0)]
    found = review_scores(pairs, CLUSTER)
    assert found.precision is not None
    assert (found.precision.low, found.precision.value, found.precision.high) == (0.8, 0.8, 0.8)


def test_what_nobody_answered_is_said_and_not_made_up() -> None:
    joined = reviewed(Band("0 to 4 bits", True, 10), 5, 5)
    silent = [replace(pair, same=None) for pair in reviewed(Band("vetoed", False, 5), 5, 0)]
    gone = ReviewedPair("a", "gone", Band("0 to 4 bits", True, 10), None, same=True)
    found = review_scores([*joined, *silent, gone], CLUSTER)
    assert found.precision is not None
    assert found.recall is None
    assert (found.n_answers, found.unknown) == (5, 1)


def test_other_clusters_are_scored_by_the_same_answers() -> None:
    """Half of what was joined is taken apart: the answers for it become misses."""
    band = Band("0 to 4 bits", True, 100)
    pairs = [ReviewedPair("a", "c" if i % 2 else "b", band, None, same=True) for i in range(20)]
    found = review_scores(pairs, {"a": "1", "b": "1", "c": "2"})
    assert found.recall is not None
    assert found.recall.value == pytest.approx(0.5)
    assert found.recall.low < 0.5 < found.recall.high


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    dice, held = Seeded(5), 0
    shares = {Band("8 to 16 bits", True, 5_000): 0.99, Band("0 to 4 bits", True, 800): 0.7}
    shares |= {Band("16 bits and more", True, 4_000): 1, Band("4 to 8 bits", True, 300): 0.997}
    shares |= {Band("-4 to 0 bits", False, 900): 0.3, Band("below -8 bits", False, 20_000): 0.002}
    yes = {band: round(band.n_pairs * share) for band, share in shares.items()}
    joined = sum(n for band, n in yes.items() if band.joined)
    precision, recall = joined / 10_100, joined / sum(yes.values())
    for _ in range(40):
        pairs = []
        for band, n in yes.items():
            drawn = dice.sample(range(band.n_pairs), 60)
            pairs += reviewed(band, 60, sum(place < n for place in drawn))
        found = review_scores(pairs, CLUSTER, draws=100)
        for truth, one in ((precision, found.precision), (recall, found.recall)):
            assert one is not None
            held += one.low <= truth <= one.high
    assert held >= 0.95 * 80


def test_the_curve_is_of_pairs_that_weigh_at_least_so_much() -> None:
    curve = threshold_curve(
        [WeighedPairs(8, 6, 0), WeighedPairs(2, 2, 2), WeighedPairs(-3, 1, 9), WeighedPairs(None, 1, 5)]
    )
    assert curve == (
        ThresholdPoint(-3, Score(9 / 20, 0.9)),
        ThresholdPoint(2, Score(0.8, 0.8)),
        ThresholdPoint(8, Score(1.0, 0.6)),
    )
    assert best_point(curve) == curve[1]
    assert threshold_curve([WeighedPairs(None, 1, 1)]) == ()
    band = Band("8 to 16 bits", True, 30)
    answers = [replace(pair, weight=9.0) for pair in reviewed(band, 3, 2)]
    assert threshold_curve(reviewed_weights(answers)) == (ThresholdPoint(9.0, Score(2 / 3, 1.0)),)


def test_labels_weigh_pairs_by_half_bits(warehouse: Warehouse) -> None:
    found = labelled_weights(warehouse, PAIRS, LABELS)
    assert {one.weight: (one.right, one.wrong) for one in found if one.wrong or one.right} == {
        9.0: (20, 0),
        2.0: (0, 20),
        -6.0: (0, 20),
        None: (0, 20),
    }
    assert found[-1] == WeighedPairs(None, 0, 0)  # no pair of one label was left uncompared
    with labels_in_warehouse(warehouse, [("a00", "p"), ("c00", "p"), ("b00", "q")]) as labels:
        assert labelled_weights(warehouse, PAIRS, labels)[-1] == WeighedPairs(None, 1, 0)


def test_a_curve_is_a_picture_that_says_what_it_shows() -> None:
    curve = threshold_curve([WeighedPairs(8, 6, 0), WeighedPairs(2, 2, 2)])
    text = curve_svg(curve, "<b>people</b>")
    root = ElementTree.fromstring(text)
    names = {child.tag.rpartition("}")[2]: child.text for child in root}
    assert names["title"] == "<b>people</b>"
    assert "Best F1 0.889 at 2 bits" in str(names["desc"])
    assert root.get("role") == "img"
    assert "prefers-color-scheme: dark" in text
    assert text.count("<polyline") == 2
    assert "No pair has a weight" in curve_svg((), "people")


def test_records_are_shown_as_text(warehouse: Warehouse) -> None:
    found = values(warehouse, CLUSTERS, "node", ["name", "cluster"], ["a00", "gone"])
    assert found == {"a00": ("=name a00", "a00")}
