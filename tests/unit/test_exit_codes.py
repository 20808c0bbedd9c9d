"""What a command ends with where several things went wrong: one table, one order, and nothing is hidden."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import permutations

import pytest

from revetl import errors
from revetl.usecases import exit_codes
from revetl.usecases.exit_codes import ExitCode, detailed, of_reports, worst

GRAVEST_FIRST = [4, 3, 130, 2, 1, 0]


@dataclass
class Report:
    status: str
    exit_code: int


@pytest.mark.parametrize("several", [*permutations(GRAVEST_FIRST, 3), *permutations(GRAVEST_FIRST, 1)])
def test_the_gravest_decides_in_whatever_order_they_come(several: tuple[int, ...]) -> None:
    assert worst(several) == min(several, key=GRAVEST_FIRST.index)


def test_nothing_that_went_wrong_is_hidden() -> None:
    assert worst([]) == 0
    assert worst([0, 0]) == 0
    assert worst([0, 77]) == 1, "a code that nobody foresaw is a failure"
    assert worst([0, 2]) == 2, "a sync that ended with a configuration error"


def test_an_interrupt_is_told_by_the_status() -> None:
    assert of_reports([Report("done", 0), Report("interrupted", 1)]) == 130
    assert of_reports([Report("interrupted", 1), Report("failed", 4)]) == 4
    assert of_reports([Report("partial", 1), Report("failed", 2)]) == 2


def test_differences_are_told_only_where_all_went_well() -> None:
    assert detailed(0, differences=True) == 2
    assert detailed(0, differences=False) == 0
    assert detailed(130, differences=True) == 130


def test_the_table_is_the_order_and_names_every_code_of_the_errors() -> None:
    rows = [int(code) for code in re.findall(r"^\| (\d+) \|", exit_codes.__doc__ or "", re.MULTILINE)]
    assert rows == [0, *GRAVEST_FIRST[:-1]]
    assert [int(code) for code in ExitCode] == GRAVEST_FIRST
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.RevetlError)]
    assert {c.exit_code for c in classes} <= set(GRAVEST_FIRST)
