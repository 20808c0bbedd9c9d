"""Golden ids from build to build: random histories against an oracle, and histories that everybody has met."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.id_histories import Build, Played, expected, play, seeded_history, together
from tests.support.warehouses import KINDS, new_database

SEEDS = range(160)
_DAYS = {"a1": "2024-01-01", "a2": "2024-02-01", "a3": "2024-03-01", "b1": "2024-04-01", "b2": "2024-05-01"}
# Per history its builds, and in each who is one person. "a1 b1" are one.
NAMED: dict[str, list[list[str]]] = {
    "first record deleted": [["a1 a2 a3"], ["a2 a3"], ["a2 a3"], ["a2 a3"]],
    "first record gone for a while": [["a1 a2", "b1"], [], ["a1 a2", "b1"], ["a1 a2", "b1"]],
    "older import": [["a2 a3"], ["a1 a2 a3"], ["a1 a2 a3"], ["a1 a2 a3"]],
    "bridge": [["a1 a2 a3", "b1 b2"], ["a1 a2 a3 b1 b2"], ["a1 a2 a3 b1 b2"], ["a1 a2 a3 b1 b2"]],
    "bridge taken away": [["a1 a2 a3", "b1 b2"], ["a1 a2 a3 b1 b2"], ["a1 a2 a3", "b1 b2"], ["a1 a2 a3", "b1 b2"]],
    "merged twice": [["a1 a2 a3", "b1 b2", "c1"], ["a1 a2 a3", "b1 b2 c1"], ["a1 a2 a3 b1 b2 c1"], ["a1 a2 a3"]],
    "equal halves": [["a1 a2", "b1 b2"], ["a1 a2 b1 b2"], ["a1 a2 b1 b2"], ["a1 a2 b1 b2"]],
    "first record leaves": [["a1 a2 a3"], ["a1", "a2 a3"], ["a1", "a2 a3"], ["a1", "a2 a3"]],
    "moved away before": [["a1 a2 a3", "b1 b2"], ["a2 a3", "a1 b1 b2"], ["a1 b1 b2"], ["a1", "b1 b2"]],
    "everybody gone": [["a1 a2"], [], [], []],
}


class Named(NamedTuple):
    ids: list[dict[str, str]]  # per build record → golden id
    history: list[tuple[int, str, str | None, str | None, int]]
    redirects: dict[str, str | None]


def builds_of(name: str) -> list[Build]:
    """Creation dates are rewritten from the third build on, as an import does it that is made again."""
    return [
        {
            ("contact", f"{name}:{record}"): (
                f"{name}:{min(group.split())}",
                _DAYS.get(record, "2025-01-01") if number < 2 else "2026-06-01",
            )
            for group in groups
            for record in group.split()
        }
        for number, groups in enumerate(NAMED[name])
    ]


def first_id(name: str, record: str) -> str:
    return hashlib.md5(f"contact|{name}:{record}".encode(), usedforsecurity=False).hexdigest()


@pytest.fixture(scope="module", params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in KINDS])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Build], Played]:
    kind: str = request.param
    if kind == "snowflake" and os.environ.get("REVETL_ALL_WAREHOUSES") != "1":
        pytest.skip("minutes: set REVETL_ALL_WAREHOUSES=1")
    tmp_path: Path = tmp_path_factory.mktemp(kind)
    n_builds = len(NAMED["bridge"])
    builds = together([*map(builds_of, NAMED), *(seeded_history(seed, n_builds) for seed in SEEDS)])
    with new_database(kind, tmp_path) as output:
        return builds, play(tmp_path / "project", builds, output)


def named(played: tuple[list[Build], Played], name: str) -> Named:
    _, found = played
    ids = [
        {key.split(":")[1]: given for (_, key), given in build.items() if key.startswith(f"{name}:")}
        for build in found.ids
    ]
    mine = {str(row[2]) for row in found.assignments if str(row[1]).startswith(f"{name}:")}
    history = [row[1:] for row in found.history if row[0] == "contact" and (row[3] in mine or row[4] in mine)]
    redirects = {row[1]: row[2] for row in found.redirects if row[1] in mine}
    return Named(ids, sorted(history, key=str), redirects)


def test_ids_of_random_histories_are_those_of_the_oracle(played: tuple[list[Build], Played]) -> None:
    builds, found = played
    for number, (ids, wanted) in enumerate(zip(found.ids, expected(builds), strict=True), 1):
        assert ids == wanted, number
    # Histories in which nothing competes would prove little.
    assert sum(row[2] == "merged" for row in found.history) > 30
    assert sum(row[2] == "split" for row in found.history) > 30


def test_an_id_that_is_over_leads_to_one_that_holds(played: tuple[list[Build], Played]) -> None:
    _, found = played
    alive = {(row[0], row[2]) for row in found.assignments if row[4] is None}
    over = {(row[0], row[2]) for row in found.assignments} - alive
    assert {(row[0], row[1]) for row in found.redirects} == over
    assert len(found.redirects) == len(over)
    assert all(row[2] is None or (row[0], row[2]) in alive for row in found.redirects)


def test_history_tells_where_every_member_went(played: tuple[list[Build], Played]) -> None:
    _, found = played
    moved = sum(row[5] for row in found.history if row[2] in ("merged", "split", "moved"))
    places: dict[tuple[str, str], list[tuple[int, int | None]]] = {}
    for entity, key, _, began, ended, _ in found.assignments:
        places.setdefault((entity, key), []).append((began, ended))
    assert moved == sum(a[1] == b[0] for rows in places.values() for a in rows for b in rows)


@pytest.mark.parametrize("name", ["first record deleted", "older import", "first record gone for a while"])
def test_an_id_stays(played: tuple[list[Build], Played], name: str) -> None:
    given = named(played, name)
    assert len({ids["a2"] for ids in given.ids if ids}) == 1
    assert all(ids["a2"] == ids[other] for ids in given.ids for other in ("a1", "a3") if other in ids)
    assert given.redirects == {}


def test_a_bridge_makes_a_redirect(played: tuple[list[Build], Played]) -> None:
    given = named(played, "bridge")
    kept, lost = first_id("bridge", "a1"), first_id("bridge", "b1")
    assert set(given.ids[-1].values()) == {kept}
    assert given.redirects == {lost: kept}
    assert (2, "merged", lost, kept, 2) in given.history


def test_a_merge_that_is_undone_gives_the_ids_back(played: tuple[list[Build], Played]) -> None:
    given = named(played, "bridge taken away")
    assert given.ids[0] == given.ids[2] == given.ids[3]
    assert given.redirects == {}


def test_redirects_are_followed_through(played: tuple[list[Build], Played]) -> None:
    given = named(played, "merged twice")
    kept, b1, c1 = (first_id("merged twice", record) for record in ("a1", "b1", "c1"))
    assert given.redirects == {b1: kept, c1: kept}


def test_of_equal_halves_the_older_keeps_its_id(played: tuple[list[Build], Played]) -> None:
    given = named(played, "equal halves")
    assert set(given.ids[-1].values()) == {first_id("equal halves", "a1")}


def test_the_largest_part_of_a_split_keeps_the_id(played: tuple[list[Build], Played]) -> None:
    given = named(played, "first record leaves")
    kept = first_id("first record leaves", "a1")
    assert {given.ids[-1][record] for record in ("a2", "a3")} == {kept}
    left = given.ids[-1]["a1"]
    assert left != kept
    assert (2, "split", kept, left, 1) in given.history


def test_an_id_that_others_had_is_not_given_to_one_who_left_them(played: tuple[list[Build], Played]) -> None:
    given = named(played, "moved away before")
    assert given.ids[-1]["a1"] not in {given_id for ids in given.ids[:-1] for given_id in ids.values()}
    assert given.redirects == {first_id("moved away before", "a1"): None}


def test_an_id_without_members_is_retired(played: tuple[list[Build], Played]) -> None:
    given = named(played, "everybody gone")
    assert given.redirects == {first_id("everybody gone", "a1"): None}
    assert (2, "retired", first_id("everybody gone", "a1"), None, 2) in given.history
