"""What every part of the grammar is made of: its base class, JSON pointers, lists that may stand without brackets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

from revetl.errors import did_you_mean


class GrammarModel(BaseModel):
    """Closed (a key that is not declared is an error) and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OneOrMany:
    """On a tuple: one alone may stand without brackets, in the file and in the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def listed(value: object) -> object:
            return value if isinstance(value, list | tuple) else (value,)

        return no_info_before_validator_function(listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


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
