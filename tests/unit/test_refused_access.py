"""What a plan says of scopes: those that its changes take, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from revetl.destinations.base import Destination
from revetl.destinations.capabilities import TokenScopes
from revetl.errors import Unavailable
from revetl.model import Association, Relation, SyncSpec
from revetl.sync.links.links_table import LinkCounts
from revetl.sync.plan.summary import PlanSummary
from revetl.usecases.refused_access import refused_access

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
    """Needs `people.write`, and `lists.write` for links to lists. `old`: an older scope lets people be written."""

    def __init__(self, *granted: str, old: bool = False, away: bool = False, told: bool = True) -> None:
        self.granted = frozenset(granted) if told else None
        self.old, self.away = old, away

    async def scopes(
        self, object_: str, match_on: str | None, others: Sequence[str], *, makes_fields: bool
    ) -> TokenScopes:
        return TokenScopes((f"{object_}.write", *(f"{other}.write" for other in others)), self.granted)

    async def probe(self, object_: str, match_on: str | None) -> list[str]:
        if self.away:
            raise Unavailable("away")
        return [] if self.old or "people.write" in (self.granted or ()) else ["people.write is missing"]


@pytest.mark.parametrize(
    ("token", "records", "links", "said"),
    [
        (TokenOf(), 1, 0, ["people.write is missing"]),
        (TokenOf(), 0, 0, []),
        (TokenOf("people.write"), 1, 1, ["for its links the token lacks lists.write"]),
        (TokenOf("people.write"), 1, 0, []),
        (TokenOf("people.write", "lists.write"), 1, 1, []),
        (TokenOf("lists.write", old=True), 1, 1, []),
        (TokenOf(told=False), 1, 1, []),
        (TokenOf(away=True), 1, 0, []),
    ],
)
async def test_only_what_the_changes_take_is_said(token: TokenOf, records: int, links: int, said: list[str]) -> None:
    plan = PlanSummary(
        plan_id="p", sync="crm", destination="crm", object="people", update=records, links=LinkCounts(link=links)
    )
    assert await refused_access(SPEC, plan, cast(Destination, token)) == said
