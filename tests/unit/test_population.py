"""What the sandbox's vendors know: the model's figures, measured; and mistakes in a population, named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from revetl.sandbox.data_vendors.knowledge import Knowledge, VendorRecord
from revetl.sandbox.data_vendors.population import Population, PopulationError, read_population
from revetl.sandbox.data_vendors.truth import TruePerson
from tests.support.sandbox_world import world

PEOPLE = 3000
WORLD = world(PEOPLE)
# 3 standard deviations of a share over so many people.
NEAR = 0.03

PLAIN: dict[str, Any] = {
    "erased_share": 0,
    "vendors": {
        "a": {"coverage": 0.8, "people": {"email": {"rate": 0.5, "wrong": 0.2}, "job_title": {"rate": 0.6}}},
        "b": {"coverage": 0.8, "people": {"email": {"rate": 0.5, "wrong": 0.2}}},
        "c": {"coverage": 0.6, "people": {"email": {"rate": 0.3, "wrong": 0.1}}},
    },
}


def known(population: Population, vendor: str, seed: int = 1) -> list[VendorRecord[TruePerson] | None]:
    knowledge = Knowledge(population, seed, vendor)
    return [knowledge.person(WORLD, person) for person in WORLD.people]


def with_email(everybody: Iterable[VendorRecord[TruePerson] | None]) -> list[bool]:
    return [k is not None and k.record.email is not None for k in everybody]


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def plain(**changes: Any) -> Population:
    return Population().changed(PLAIN).changed(changes)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.95])
def test_rates_are_those_set_whatever_the_correlation(correlation: float) -> None:
    everybody = known(plain(correlation=correlation), "a")
    found = [k for k in everybody if k is not None]
    assert len(found) / PEOPLE == pytest.approx(0.8, abs=NEAR)
    assert share(with_email(everybody)) == pytest.approx(0.5, abs=NEAR)
    titles = [k.record.job_title is not None for k in found]
    assert sum(titles) / PEOPLE == pytest.approx(0.6, abs=NEAR)
    emails = [k for k in found if k.record.email is not None]
    assert sum("email" in k.wrong for k in emails) / len(emails) == pytest.approx(0.2, abs=NEAR)


def test_what_is_hard_for_one_is_hard_for_others() -> None:
    def both(correlation: float) -> float:
        population = plain(correlation=correlation)
        pairs = zip(with_email(known(population, "a")), with_email(known(population, "b")), strict=True)
        return share([one and other for one, other in pairs])

    assert both(0.0) == pytest.approx(0.25, abs=NEAR)
    assert 0.30 < both(0.6) < both(0.95) < 0.5


def test_resold_rows_are_the_same_with_their_mistakes() -> None:
    population = plain(vendors={"b": {"resells": {"a": 0.5}}})
    of_a, of_b = known(population, "a"), known(population, "b")
    copied = [i for i, k in enumerate(of_b) if k is not None and k.source == "a"]
    assert len(copied) / sum(k is not None for k in of_b) == pytest.approx(0.5, abs=NEAR)
    emails = [(of_a[i].record.email, of_b[i].record.email) for i in copied]
    assert all(one == other for one, other in emails)
    assert sum("email" in k.wrong for k in of_b if k is not None and k.source == "a") > 30
    # What the rows bought lack, their buyer lacks too; of other rows it has its own.
    assert any(a is None and b is not None for a, b in zip(of_a, of_b, strict=True))


def test_what_a_vendor_does_not_offer_it_does_not_say_of_bought_rows_either() -> None:
    population = plain(vendors={"b": {"resells": {"a": 1.0}}})
    assert {k.record.job_title for k in known(population, "b") if k is not None} == {None}


def test_segments_shift_the_odds() -> None:
    segments = [
        {"attribute": "country", "values": ["France"], "odds": 4.0},
        {"attribute": "seniority", "values": ["cxo"], "odds": 0.25, "fields": ["email"]},
        {"attribute": "company_size", "values": ["1-10"], "odds": 0.2},
    ]
    everybody = known(plain(vendors={"a": {"segments": segments}}), "a")

    def covered(people: list[VendorRecord[TruePerson] | None]) -> float:
        return sum(k is not None for k in people) / len(people)

    pairs = list(zip(WORLD.people, everybody, strict=True))
    small = {c.company_id for c in WORLD.company_list if (c.employee_count or 0) <= 10}
    french = [k for p, k in pairs if p.country == "France" and p.company_id not in small]
    german = [k for p, k in pairs if p.country == "Germany" and p.company_id not in small]
    tiny = [k for p, k in pairs if p.country == "Germany" and p.company_id in small]
    assert covered(german) == pytest.approx(0.8, abs=2 * NEAR)
    assert covered(french) == pytest.approx(4 * 0.8 / (0.2 + 4 * 0.8), abs=2 * NEAR)
    assert covered(tiny) == pytest.approx(0.2 * 0.8 / (0.2 + 0.2 * 0.8), abs=3 * NEAR)
    chiefs = with_email(k for p, k in pairs if p.seniority == "cxo" and k is not None)
    others = with_email(k for p, k in pairs if p.seniority != "cxo" and k is not None)
    assert share(others) == pytest.approx(0.5 / 0.8, abs=NEAR)
    assert share(chiefs) == pytest.approx(0.25 * 0.625 / (0.375 + 0.25 * 0.625), abs=2 * NEAR)


def test_the_past_is_the_same_for_all_and_a_guess_is_wrong() -> None:
    population = plain(correlation=0.95, vendors={"c": {"guesses": True, "people": {"email": {"wrong": 0.5}}}})
    of_a, of_b, of_c = (known(population, vendor) for vendor in "abc")
    out_of_date = [
        (a.record.email, b.record.email)
        for a, b in zip(of_a, of_b, strict=True)
        if a is not None and b is not None and "email" in a.wrong and "email" in b.wrong
    ]
    assert len(out_of_date) > 50
    assert all(one == other for one, other in out_of_date)
    for person, guess in zip(WORLD.people, of_c, strict=True):
        if guess is not None and "email" in guess.wrong:
            assert str(guess.record.email).endswith(str(person.email).partition("@")[2])
            assert guess.record.email != person.email


def test_other_seeds_other_knowledge_and_every_process_the_same() -> None:
    population = plain()
    mine = with_email(known(population, "a", seed=1))
    assert mine != with_email(known(population, "a", seed=2))
    program = (
        "from tests.unit.test_population import *\n"
        "print(''.join('01'[e] for e in with_email(known(plain(), 'a', seed=1))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "".join("01"[hit] for hit in mine)


def test_who_asked_to_be_forgotten_is_unknown_to_all() -> None:
    population = Population(erased_share=0.1)
    knowledge = Knowledge(population, 1, "hunter")
    erased = [p for p in WORLD.people if knowledge.erased(p)]
    assert len(erased) / PEOPLE == pytest.approx(0.1, abs=NEAR)
    for vendor in population.vendors:
        of_vendor = Knowledge(population, 1, vendor)
        assert all(of_vendor.person(WORLD, p) is None for p in erased)


def test_a_rate_set_by_hand() -> None:
    population = Population(erased_share=0.0).with_rate("hunter.email", 0.9).with_rate("apollo", 0.2)
    assert population.vendor("hunter").people["email"].rate == 0.9
    assert population.vendor("apollo").coverage == 0.2
    assert population.vendor("apollo").people["email"].rate < 0.2
    assert population.vendor("prospeo") == Population().vendor("prospeo")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("vendors: {hunter: {coverag: 0.5}}", "Did you mean 'coverage'?"),
        ("vendors: {hunter: {people: {emial: {rate: 0.1}}}}", "Did you mean 'email'?"),
        ("vendors: {hunter: {people: {email: {rate: 1.5}}}}", "hunter.people.email.rate must be a number from 0 to 1"),
        ("vendors: {hunter: {coverage: 0.1}}", "hunter.people.email.rate is above the coverage"),
        ("vendors: {apollo: {resells: {prospeo: 0.1}}}", "in a circle"),
        ("vendors: {apollo: {resells: {prospero: 0.1}}}", "Did you mean 'prospeo'?"),
        ("vendors: {hunter: {segments: [{attribute: land, values: [France], odds: 2}]}}", "'land' is no attribute"),
        ("vendors: {hunter: {segments: [{attribute: country, odds: 2}]}}", "'values' is missing"),
        (
            "vendors: {hunter: {segments: [{attribute: company_size, values: [1000+], odds: 2}]}}",
            "Did you mean '1001+'?",
        ),
        ("correlation: 2", "correlation must be a number from 0 to 1"),
        ("vendors: [hunter]", "vendors must be a mapping"),
        ("vendors: {", "population.yml"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, document: str, says: str) -> None:
    path = tmp_path / "population.yml"
    path.write_text(document, "utf-8")
    with pytest.raises(PopulationError, match=r"population\.yml") as refused:
        read_population(path)
    assert says in str(refused.value)


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "population.yml"
    path.write_text("correlation: 0.2\nvendors: {hunter: {people: {email: {wrong: 0.3}}}}", "utf-8")
    population = read_population(path)
    assert population.correlation == 0.2
    assert population.vendor("hunter").people["email"].wrong == 0.3
    assert population.vendor("hunter").people["email"].rate == Population().vendor("hunter").people["email"].rate
    assert population.vendor("apollo") == Population().vendor("apollo")
