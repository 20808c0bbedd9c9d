"""What `revetl debug` says of the scopes of a sync."""

from __future__ import annotations

import pytest

from revetl.destinations.capabilities import TokenScopes
from revetl.usecases.debug import scopes_in_words


@pytest.mark.parametrize(
    ("granted", "said"),
    [
        (None, "takes the scopes a.read a.write; which ones the token has, the vendor does not say"),
        (frozenset(), "takes the scopes a.read a.write; the token has none; not among them: a.read a.write"),
        (
            frozenset({"b", "a.read"}),
            "takes the scopes a.read a.write; the token has a.read b; not among them: a.write",
        ),
        (frozenset({"a.write", "a.read", "b"}), "takes the scopes a.read a.write, and the token has them"),
    ],
)
def test_what_a_sync_takes_stands_beside_what_the_token_has(granted: frozenset[str] | None, said: str) -> None:
    assert scopes_in_words(TokenScopes(("a.read", "a.write"), granted)) == said
