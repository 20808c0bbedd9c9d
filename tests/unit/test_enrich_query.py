"""Statements that are composed of others: the text, and what is bound in its order."""

from __future__ import annotations

import pytest

from revetl.enrich.selection.query import Query, compose


def test_bound_values_come_in_the_order_of_the_text() -> None:
    inner = Query("SELECT key FROM t WHERE a = ?", ("first",))
    made = compose(
        "SELECT {cells} FROM ({inner}) AS i WHERE b = {b} AND c = {b}", b=Query("?", (2,)), cells="key", inner=inner
    )
    assert made.sql == "SELECT key FROM (SELECT key FROM t WHERE a = ?) AS i WHERE b = ? AND c = ?"
    assert made.params == ("first", 2, 2)


def test_braces_of_a_piece_are_text() -> None:
    """Conditions are written by an operator: a struct of DuckDB's has braces."""
    assert compose("WHERE {when}", when="{'a': 1}.a = 1").sql == "WHERE {'a': 1}.a = 1"


def test_a_piece_without_a_place_and_a_place_without_a_piece_are_mistakes() -> None:
    with pytest.raises(ValueError, match="unused"):
        compose("SELECT 1", unused="x")
    with pytest.raises(KeyError):
        compose("SELECT {missing}")
