"""`revetl debug`: a scope that only links or references take, and that is missing, is no pass."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from rich.console import Console

from revetl.cli.render.checks import show_checks
from revetl.destinations.capabilities import TokenScopes
from revetl.model import Association, Relation, SyncSpec
from revetl.usecases.debug import SetupCheck, access

SPEC = SyncSpec(
    name="crm",
    relation=Relation("main", "crm"),
    destination="crm",
    object="people",
    key="id",
    match_on="email",
    columns=("id", "email", "on_list"),
    associate=(Association("lists.name", "on_list", 1, "lists", "name"),),
)


class TokenOf:
    """A destination that lets people be written, whatever the names of the scopes are."""

    def __init__(self, *granted: str) -> None:
        self.granted = frozenset(granted)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def scopes(
        self, object_: str, match_on: str | None, others: Sequence[str], *, makes_fields: bool
    ) -> TokenScopes:
        return TokenScopes((f"{object_}.write", *(f"{other}.write" for other in others)), self.granted)

    async def probe(self, object_: str, match_on: str | None) -> list[str]:
        return []


@pytest.mark.parametrize(
    ("granted", "lacking"),
    [
        (["people.write"], ["for the links and references to lists: the token lacks lists.write"]),
        (["people.write", "lists.write"], []),
        (["lists.write"], []),  # an older scope lets people be written: that was tried
    ],
)
async def test_a_scope_of_others_that_is_missing_is_no_pass(granted: list[str], lacking: list[str]) -> None:
    project: Any = SimpleNamespace(destination=lambda _name: TokenOf(*granted))
    assert (await access(project, SPEC))[0] == lacking


def test_several_lines_of_a_check_are_several_lines() -> None:
    shown = StringIO()
    project: Any = SimpleNamespace(root=Path("/p"), target="dev", name="p")
    show_checks(Console(file=shown, width=100), project, [SetupCheck("sync crm", "first\nsecond", 4)])
    assert "⏎" not in shown.getvalue()
    assert "second" in shown.getvalue()
