"""What every part of the grammar is made of: its base class, JSON pointers, lists that may stand without brackets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Annotated, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
)

from revetl.errors import did_you_mean
from revetl.one_or_many import OneOrMany


class GrammarModel(BaseModel):
    """Closed (a key that is not declared is an error) and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _pointer(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"a JSON pointer starts with '/', as in '/data/email'; this is {text!r}")
    return text


Pointer = Annotated[str, AfterValidator(_pointer)]
Pointers = Annotated[Annotated[tuple[Pointer, ...], Field(min_length=1)], OneOrMany()]
# The empty pointer is the whole body (RFC 6901).
PointerOrWhole = Annotated[str, AfterValidator(lambda text: text and _pointer(text))]
Usd = Annotated[Decimal, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Mistake(NamedTuple):
    """A name that stands for nothing, where it stands (keys and indexes), and what would be right."""

    place: tuple[str | int, ...]
    message: str
    hint: str | None


def unknown_names(
    place: tuple[str | int, ...], names: Iterable[str], declared: tuple[str, ...], what: str
) -> Iterator[Mistake]:
    """A mistake for each name that is not declared. `what` says what it would have to be."""
    for name in dict.fromkeys(names):
        if name not in declared:
            yield Mistake(place, f"{name!r} is not {what}", did_you_mean(name, declared))
