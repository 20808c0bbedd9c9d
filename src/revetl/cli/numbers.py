"""The numbers that options take. Each has an end: past it the warehouse, the clock or the operating system would fail,
in words that say nothing of the option."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import click

MOST = 2**63 - 1  # what a database and an operating system count by
MOST_USD = 10**12 - 1  # what the state keeps: DECIMAL(18, 6)
MOST_DAYS = 36_500  # further back or ahead there is no date


def whole_number(least: int = 1, most: int = MOST) -> click.IntRange:
    """A whole number."""
    return click.IntRange(least, most)


class FiniteRange(click.FloatRange):
    """A number with a fraction. Python reads `nan` and `inf` too, and nan is neither less nor more than any end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def usd(text: str) -> Decimal:
    """An amount of US dollars, exact."""
    try:
        amount = Decimal(text.removeprefix("$"))
    except ArithmeticError:
        raise ValueError(text) from None
    if not amount.is_finite() or not 0 <= amount <= MOST_USD:
        raise ValueError(text)
    return amount
