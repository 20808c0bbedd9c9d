"""Statements that are composed of others."""

from __future__ import annotations

from dataclasses import dataclass, replace

from revetl.model import Scalar


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and what is bound to it, kept together while it is composed."""

    sql: str
    params: tuple[Scalar, ...] = ()

    def __add__(self, other: Query | str) -> Query:
        if isinstance(other, str):
            return replace(self, sql=self.sql + other)
        return Query(self.sql + other.sql, self.params + other.params)


def compose(template: str, **pieces: Query | str) -> Query:
    """The template with every `{name}` replaced by that piece, and the bound values in the order of the text. So a
    statement is read as one text, with a name where another statement stands in it.

    ValueError for a piece that the template does not name; KeyError for a name without a piece.
    """
    found, params, used = [], list[Scalar](), set[str]()
    for text, name in _fields(template):
        found.append(text)
        if name is None:
            continue
        piece = pieces[name]
        used.add(name)
        found.append(piece if isinstance(piece, str) else piece.sql)
        params += () if isinstance(piece, str) else piece.params
    if unused := pieces.keys() - used:
        raise ValueError(f"the statement has no place for {sorted(unused)}")
    return Query("".join(found), tuple(params))


def _fields(template: str) -> list[tuple[str, str | None]]:
    """(text, the name that follows it); the last has none."""
    found: list[tuple[str, str | None]] = []
    for at, piece in enumerate(template.split("{")):
        if at == 0:
            found.append((piece, None))
            continue
        name, _, rest = piece.partition("}")
        found[-1] = (found[-1][0], name)
        found.append((rest, None))
    return found
