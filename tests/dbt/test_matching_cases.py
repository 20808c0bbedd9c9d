"""Who is one person and who is not, case by case, on each warehouse. A case shares no value with another one.

Snowflake's stand-in takes minutes, so only on demand: REVETL_ALL_WAREHOUSES=1.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from revetl.model import Relation
from revetl.sandbox.sources import generate
from revetl.state.schema import create_all
from revetl.warehouse.copying import copy_tables
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.open import open_warehouse
from tests.dbt.test_warehouses import build
from tests.support.warehouses import KINDS, new_database


class Record(NamedTuple):
    """A contact of the CRM. It is known by the case that it stands in and its place there."""

    first: str | None = None
    last: str | None = None
    email: str | None = None
    phone: str | None = None
    company: str | None = None
    country: str | None = None
    profile: str | None = None


# Per case its records, and the groups that become one person each; who stands in none stays alone.
Case = tuple[list[Record], list[set[int]]]
R = Record
CASES: dict[str, Case] = {
    "a plus that begins an address is no tag": (
        [R("Ida", None, "+ida@plus.example"), R(None, "Bern", "+bern@plus.example")],
        [],
    ),
    "national numbers belong to the record's country": (
        [
            R("Ute", "Brandt", phone="030 7654321", country="Germany"),
            R("Ute", "Brandt", phone="+49 30 7654321"),
            R("Ute", "Brandt", phone="(030) 765-4321", country="France"),
        ],
        [{0, 1}],
    ),
    "a number without a country is a hint where both names agree in full": (
        [
            R("Omar", "Haddad", phone="(415) 555-0177", country="United States"),
            R("Omar", "Haddad", phone="415 555 0177"),
            R("O.", "Haddad", phone="415.555.0177"),
        ],
        [{0, 1}],
    ),
    "six records on one phone are one person": (
        [
            R(None, "Sixt", phone="+12025550601") if n == 0 else R("Vera", "Sixt", phone="+12025550601")
            for n in range(6)
        ],
        [{0, 1, 2, 3, 4, 5}],
    ),
    "and so are seven, and forty": (
        [R("Vera", "Seven", phone="+12025550701") for _ in range(40)],
        [set(range(40))],
    ),
    "a switchboard joins nobody but those who have one name": (
        [
            R(first, last, phone="+12025550801")
            for first, last in zip(
                ["Ana", "Bo", "Cy", "Di", "Eli", "Fay", "Gus", "Ana", "A."],
                ["Quill", "Rand", "Stahl", "Tran", "Ude", "Vance", "Wirth", "Quill", "Quill"],
                strict=True,
            )
        ],
        [{0, 7}],
    ),
    "an inbox that no list knows": (
        [
            R(first, last, "tresen@inbox.example")
            for first, last in zip(
                ["Ana", "Bo", "Cy", "Di", "Ana", None], ["Quast", "Rind", "Stahn", "Trau", "Quast", None], strict=True
            )
        ],
        [{0, 4}],
    ),
    "a record without a name joins nobody on an address of two": (
        [
            R("Mona", "Lark", "post@two.example"),
            R("Piet", "Nau", "post@two.example"),
            R(None, "Mona", "post@two.example"),
            R(None, None, "post@two.example"),
        ],
        [{0, 2}],
    ),
    "a record without a name joins the one person of an address": (
        [R("Mona", "Berg", "mona@one.example"), R(None, None, "mona@one.example")],
        [{0, 1}],
    ),
    "a veto holds through a third record": (
        [
            R("Jon", "Smith", "jon.smith@veto.example", company="Veto Works"),
            R("Jon", "Smith", "jon.smith2@veto.example", company="Veto Works"),
            R("Jon", "Smith", company="Veto Works"),
        ],
        [{0, 2}],
    ),
    "numbers at a free host are no numbering": (
        [
            R("Olga", "Brand", "olga.brand@gmail.com", "+12025550901"),
            R("Olga", "Brand", "olga1984@gmail.com", "+12025550901"),
        ],
        [{0, 1}],
    ),
    "a couple on one address": (
        [R("Anna", "Horn", "horn@couple.example"), R("Berta", "Horn", "horn@couple.example")],
        [],
    ),
    "an address that names one of two is that one's": (
        [R("Peggy", "Moor", "peggy.moor@named.example"), R("Margarethe", "Moor", "peggy.moor@named.example")],
        [{0, 1}],
    ),
    "father and son": (
        [R("John", "Wald Jr", phone="+12025551001"), R("John", "Wald Sr.", phone="+12025551001")],
        [],
    ),
    "two letters are a whole name": (
        [R("Wei", "Li", phone="+12025551101"), R("Wei", "Wu", phone="+12025551101")],
        [],
    ),
    "accents, composed or decomposed": (
        [
            R("José", "García", company="Roja"),
            R("Jose\u0301", "Garci\u0301a", company="Roja"),
            R("JOSE", "Garcia", company="Roja"),
        ],
        [{0, 1, 2}],
    ),
    "another script": (
        [R("Иван", "Петров", phone="+79161234501"), R("Ivan", "Petrov", phone="+79161234501")],
        [{0, 1}],
    ),
    "names of one character": (
        [R("李", "明", company="北京"), R("李", "明", company="北京")],
        [{0, 1}],
    ),
    "names in the other order, umlauts spelt out": (
        [R("Jörg", "Mühle", phone="+4915112345001"), R("Muehle", "Joerg", phone="+4915112345001")],
        [{0, 1}],
    ),
    "titles, and three words cut in two ways": (
        [
            R("Dr. Hans", "Weber", phone="+12025551201"),
            R("Hans", "Weber", phone="+12025551201"),
            R("Mary", "Ann Jones", phone="+12025551202"),
            R("Mary Ann", "Jones", phone="+12025551202"),
        ],
        [{0, 1}, {2, 3}],
    ),
    "apostrophes and blanks of every kind": (
        [
            R("Sean", "O'Brien", phone="+12025551301"),
            R("Sean\u00a0", "O\u2019Brien", phone="+12025551301"),
            R("Sean", "OBrien\u200b", phone="+12025551301"),
        ],
        [{0, 1, 2}],
    ),
    "short for one of two names": (
        [R("Alexandra", "Reed", phone="+12025551401"), R("Alex", "Reed", phone="+12025551401")],
        [{0, 1}],
    ),
    "placeholders name nobody": (
        [
            R("N/A", "N/A", phone="0000000000"),
            R("N/A", "N/A", phone="0000000000"),
            R("Unknown", "Unknown", company="Unknown"),
            R("Unknown", "Unknown", company="Unknown"),
        ],
        [],
    ),
    "namesakes at one company with phones of their own": (
        [
            R("Maria", "Sanz", phone="+12025551501", company="Acme Fifteen"),
            R("Maria", "Sanz", phone="+12025551502", company="Acme Fifteen"),
        ],
        [],
    ),
    "a last name only, where one person at the company has it": (
        [
            R("Greta", "Onyx", "greta.onyx@lone.example"),
            R(None, "Onyx", company="Lone Works", phone="+12025551601"),
            R("Otto", "Zimt", "otto.zimt@lone.example", company="Lone Works"),
        ],
        [{0, 1}],
    ),
    "and where two have it": (
        [
            R("Greta", "Opal", "greta.opal@pair.example", company="Pair Works"),
            R("Hugo", "Opal", "hugo.opal@pair.example", company="Pair Works"),
            R(None, "Opal", company="Pair Works"),
        ],
        [],
    ),
    "legal forms of several words": (
        [R("Eve", "Stein", company="Blue Ox GmbH & Co. KG"), R("Eve", "Stein", company="Blue Ox")],
        [{0, 1}],
    ),
    "a name of several companies": (
        [
            R("Paul", "Grau", "paul.grau@north.example", company="Beratung"),
            R("Paul", "Grau", "paul.grau@south.example", company="Beratung"),
            R("Paul", "Grau", company="Beratung"),
        ],
        [],
    ),
    "one profile, however its address was copied": (
        [
            R("Tea", "Ross", profile="https://www.linkedin.com/in/tea-ross-1/?trk=x"),
            R("T.", "Ross-Lind", profile="linkedin.com/in/Tea-Ross-1"),
        ],
        [{0, 1}],
    ),
    "addresses as mail programs write them": (
        [
            R("Ed", "Moos", "Ed Moos <ed@moos.example>"),
            R("Ed", "Moos", "mailto:ed@moos.example"),
            R("Ed", "Moos", " ED@MOOS.EXAMPLE; other@moos.example"),
        ],
        [{0, 1, 2}],
    ),
    "dots at Gmail": (
        [R("Ravi", "Sen", "ravi.sen@gmail.com"), R("Ravi", "Sen", "r.a.visen@googlemail.com")],
        [{0, 1}],
    ),
    "stewards join what no rule does": (
        [R("Lina", "Falk", "lina@falk.example"), R("Carolina", "Sturm", "cs@sturm.example")],
        [{0, 1}],
    ),
    "stewards part what a rule joins, through a third record too": (
        [
            R("Timo", "Ernst", "timo@ernst.example", "+12025551701"),
            R("Timo", "Ernst", "timo@ernst.example", "+12025551702"),
            R("Timo", "Ernst", "timo@ernst.example", "+12025551702"),
        ],
        [{1, 2}],
    ),
    "the name of the company in the place of the person's": (
        [
            R("Red", "Yak", "hans@yak.example", company="Red Yak"),
            R("Lena", "Yak", "lena@yak.example", company="Red Yak"),
            R("Red", "Yak", "yak@mail.example", company="Red Yak"),
        ],
        [],
    ),
}
# What stewards decided, by case: two places there and the decision.
DECISIONS: dict[str, list[tuple[int, int, str]]] = {
    "stewards join what no rule does": [(1, 0, "same")],
    "stewards part what a rule joins, through a third record too": [(0, 1, "different")],
}
# What stewards pinned, of the person that a record is part of: case, place, field, value.
PINS = [("six records on one phone are one person", 2, "last_name", "Sixtus")]
# A chain: each value is held by two records only, and no first name tells them apart.
CHAIN = [R(None, "Kettel", f"k{n // 2}@chain.example", f"+1202557{(n + 1) // 2:04d}") for n in range(200)]


def records() -> Iterator[tuple[str, Record]]:
    for number, (members, _) in enumerate(CASES.values()):
        for place, record in enumerate(members):
            yield f"c{number}_{place}", record
    for place, record in enumerate(CHAIN):
        yield f"chain_{place}", record


@pytest.fixture(scope="module", params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in KINDS])
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str]]:
    """Golden id, record id and last name of the golden contact, per record."""
    kind: str = request.param
    if kind == "snowflake" and os.environ.get("REVETL_ALL_WAREHOUSES") != "1":
        pytest.skip("minutes: set REVETL_ALL_WAREHOUSES=1")
    directory = tmp_path_factory.mktemp(kind)
    sources = directory / "sources.duckdb"
    made = generate(sources, directory / "truth", records=1)
    with new_database(kind, directory) as output:
        with (
            closing(open_warehouse(output, root=directory, state_schema="revetl")) as warehouse,
            closing(DuckDBWarehouse(sources)) as here,
        ):
            for name in made:
                here.execute(f"DELETE FROM {name}")
            rows = [(key, *record) for key, record in records()]
            here.execute(
                "INSERT INTO raw_crm.contacts"
                " (contact_id, first_name, last_name, email, phone, company_name, country, linkedin_url, created_at)"
                f" SELECT {', '.join(['unnest(?)'] * 8)}, TIMESTAMP '2026-01-01'",
                [list(column) for column in zip(*rows, strict=True)],
            )
            copy_tables(here, warehouse, [Relation(*name.split(".")) for name in made])
            create_all(warehouse)
        build(output, directory, "seed")
        with closing(open_warehouse(output, root=directory, state_schema="revetl")) as warehouse:
            for case, decided in DECISIONS.items():
                for left, right, decision in decided:
                    keys = [f"crm:contacts:c{list(CASES).index(case)}_{place}" for place in (left, right)]
                    warehouse.execute(
                        "INSERT INTO analytics.steward_decisions (left_key, right_key, decision) VALUES (?, ?, ?)",
                        [*keys, decision],
                    )
            for case, place, name, value in PINS:
                key = f"crm:contacts:c{list(CASES).index(case)}_{place}"
                warehouse.execute(
                    "INSERT INTO analytics.steward_pins (entity, record_key, field, value) VALUES ('contact', ?, ?, ?)",
                    [key, name, value],
                )
        build(output, directory, "run", "--select", "+golden_contacts", "+golden_members")
        with closing(open_warehouse(output, root=directory, state_schema="revetl")) as warehouse:
            found = warehouse.rows(
                """
                SELECT g.golden_id, m.record_id, g.last_name
                FROM analytics.golden_members m JOIN analytics.golden_contacts g ON m.golden_id = g.golden_id
                WHERE m.entity = 'contact'
                """
            )
    return [(str(golden_id), str(record_id), str(name)) for golden_id, record_id, name in found]


@pytest.fixture(scope="module")
def groups(golden: list[tuple[str, str, str]]) -> list[set[str]]:
    """The record ids of each golden contact."""
    members: dict[str, set[str]] = defaultdict(set)
    for golden_id, record_id, _ in golden:
        members[golden_id].add(record_id)
    return sorted(members.values(), key=sorted)


@pytest.mark.parametrize("case", CASES)
def test_who_is_one_person(groups: list[set[str]], case: str) -> None:
    number = list(CASES).index(case)
    members, together = CASES[case]
    expected = [{f"c{number}_{place}" for place in group} for group in together]
    alone = set(range(len(members))).difference(*together) if together else set(range(len(members)))
    expected += [{f"c{number}_{place}"} for place in alone]
    found = [group for group in groups if any(key.startswith(f"c{number}_") for key in group)]
    assert found == sorted(expected, key=sorted)


def test_a_chain_becomes_no_person(groups: list[set[str]]) -> None:
    found = [group for group in groups if any(key.startswith("chain_") for key in group)]
    assert sum(map(len, found)) == len(CHAIN)
    assert max(map(len, found)) <= 4


def test_a_pinned_value_beats_every_source(golden: list[tuple[str, str, str]]) -> None:
    for case, place, _, value in PINS:
        number = list(CASES).index(case)
        names = {name for _, record_id, name in golden if record_id.startswith(f"c{number}_")}
        assert names == {value}, (case, place)
