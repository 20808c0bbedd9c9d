"""A question, and statements that are composed of parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from revetl.model import Scalar


@dataclass(frozen=True, slots=True)
class Question:
    """One call to make: `keys` are the records that it serves, `identities` all that is known of the people behind it,
    each once. Of a company it is the company's own inputs."""

    request_hash: str
    keys: tuple[str, ...]
    inputs: Mapping[str, str]
    identities: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and what is bound to it, kept together while it is composed."""

    sql: str
    params: tuple[Scalar, ...] = ()

    def __add__(self, other: Query | str) -> Query:
        if isinstance(other, str):
            return replace(self, sql=self.sql + other)
        return Query(self.sql + other.sql, self.params + other.params)
