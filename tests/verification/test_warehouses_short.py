"""The proof on three warehouses in a short form: its list is true, and it counts what it is told."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from tests.support.engine_tests import ALWAYS, GROUPS
from tests.support.warehouses import KINDS
from verification import warehouses

FILES = [file for files in (*GROUPS.values(), *warehouses.BY_THEMSELVES.values()) for file in files]


def test_what_is_listed_is_there() -> None:
    texts = [(warehouses.ROOT / file).read_text("utf-8") for file in FILES]
    assert len(set(FILES)) == len(FILES)
    tests = set(re.findall(r"def (test_\w+)", "\n".join(texts)))
    assert ALWAYS.keys() <= tests, "a test that was renamed runs on DuckDB only"
    assert tuple(warehouses.WAREHOUSES) == KINDS


def test_a_failure_is_counted_and_named() -> None:
    report = """<r><testcase classname="tests.unit.a" name="test_one"/>
        <testcase classname="tests.unit.a" name="test_two[postgres]"><failure/></testcase>
        <testcase classname="tests.unit.a" name="test_three"><error/></testcase>
        <testcase classname="tests.unit.a" name="test_four"><skipped/></testcase></r>"""
    tally = warehouses.Tally(seconds=1.4)
    for case in ET.fromstring(report).iter("testcase"):
        tally.take(case)
    assert tally.cell() == "1 passed, **2 failed**, 1 skipped, 1 s"
    assert tally.first_failure == "tests.unit.a::test_two[postgres]"
