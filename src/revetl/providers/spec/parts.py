"""The parts of which an endpoint is made: what is sent, what a status means, where a value stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

from revetl.errors import did_you_mean

Kind = Literal["finder", "verifier"]
Entity = Literal["person", "company"]

# What one answer means.
#   hit, miss       an answer
#   suppressed      the person asked not to be processed: ask nobody again
#   bad_input       this lookup will never be taken
#   slow_down       wait; nothing was charged
#   in_progress     ask the same again; nothing is charged twice
#   out_of_credits, denied   the account can't go on
#   blocked         the account is shut out for a while, nothing was processed
#   unavailable     certainly not processed
#   ambiguous       may have been charged, so never repeated; also what a status that no row matches means
Verdict = Literal[
    "hit",
    "miss",
    "slow_down",
    "out_of_credits",
    "blocked",
    "suppressed",
    "in_progress",
    "bad_input",
    "denied",
    "unavailable",
    "ambiguous",
]
Transform = Literal["lower", "upper", "strip", "title", "first", "last", "https", "digits", "year"]
Verified = Literal["valid", "invalid", "catch_all", "unknown"]

# What the golden models hold, so what a provider may fill.
FIELDS: Mapping[Entity, tuple[str, ...]] = {
    "person": ("email", "phone", "job_title", "seniority", "linkedin_url", "city", "country"),
    "company": ("industry", "employee_count", "founded_year", "linkedin_url", "city", "country"),
}

_REFERENCE = re.compile(r"\{([^{}]*)\}")
_STATUS = re.compile(r"[1-5](\d\d|xx)")


def _pointer(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"a JSON pointer starts with '/', as in '/data/email'; this is {text!r}")
    return text


def _status(value: object) -> str:
    text = str(value)
    if isinstance(value, bool) or not _STATUS.fullmatch(text):
        raise ValueError(f"an HTTP status is a number or a class such as '5xx'; this is {text!r}")
    return text


class OneOrMany:
    """On a tuple: one alone may stand without brackets, in the file and in the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def listed(value: object) -> object:
            return value if isinstance(value, list | tuple) else (value,)

        return no_info_before_validator_function(listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


Pointer = Annotated[str, AfterValidator(_pointer)]
Pointers = Annotated[Annotated[tuple[Pointer, ...], Field(min_length=1)], OneOrMany()]
HttpStatus = Annotated[str, BeforeValidator(_status), WithJsonSchema({"type": ["integer", "string"]})]
HttpStatuses = Annotated[Annotated[tuple[HttpStatus, ...], Field(min_length=1)], OneOrMany()]
# Of a part of the body: the empty pointer is the whole of it (RFC 6901).
AnyPointer = Annotated[str, AfterValidator(lambda text: text and _pointer(text))]
Usd = Annotated[Decimal, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Mistake(NamedTuple):
    """A name that stands for nothing, where it stands (keys and indexes), and what would be right."""

    place: tuple[str | int, ...]
    message: str
    hint: str | None


def references(template: str) -> list[str]:
    """The names in `{…}`, in order; alternatives (`{a|b}`) each."""
    return [name for group in _REFERENCE.findall(template) for name in group.split("|")]


def fill(template: str, values: Mapping[str, str]) -> str | None:
    """The template with each `{name}` replaced, of alternatives by the first that is there; None where one has none."""
    found = {group: next(filter(None, map(values.get, group.split("|"))), "") for group in _REFERENCE.findall(template)}
    return _REFERENCE.sub(lambda m: found[m[1]], template) if all(found.values()) else None


def texts(value: object, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts(item, (*at, name))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from texts(item, (*at, i))


def unknown(place: tuple[str | int, ...], names: Iterable[str], known: tuple[str, ...], what: str) -> Iterator[Mistake]:
    for name in dict.fromkeys(names):
        if name not in known:
            yield Mistake(place, f"{name!r} is not {what}", did_you_mean(name, known))


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Auth(Part):
    """Where the connection's `api_key` goes. The secret itself never stands in a spec.

    header: `name: <prefix><key>`; query: `?name=<key>`; body: `name` at the top of the JSON body; bearer:
    `Authorization: Bearer <key>`; basic: the key as user name with an empty password.
    """

    type: Literal["header", "query", "body", "bearer", "basic"]
    name: str | None = None
    prefix: str = ""

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.type in ("header", "query", "body")) != (self.name is not None):
            raise ValueError("'name' goes with the types header, query and body, and only with them")
        return self


class Request(Part):
    """One HTTP request. A template is text with `{input}` in it; where an input is absent the parameter is left out.

    `{a|b}` is the first of the inputs that is present, and a list in `query` the first template of those whose inputs
    are. `path` takes no inputs: it stands in logs and messages, where nothing of a customer may stand. Of a batch this
    is the envelope, without inputs.
    """

    method: Literal["GET", "POST"] = "GET"
    path: str = Field(pattern=r"^/[^{}?#\s]*$")
    query: Mapping[str, Annotated[tuple[str, ...], OneOrMany()]] = Field(default_factory=dict)
    json_body: Mapping[str, Any] | None = Field(default=None, alias="json")

    def templates(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every template, with its place inside the endpoint."""
        yield from texts({"query": self.query, "json": self.json_body}, ("request",))

    @model_validator(mode="after")
    def _body_with_post(self) -> Self:
        if self.method == "GET" and self.json_body is not None:
            raise ValueError("a GET has no 'json'; use 'query', or 'method: POST'")
        return self


class Row(Part):
    """What every table's row has: where it looks in the body, and what it waits for there.

    `at` with `equals`: the value at the pointer is that, or one of a list; null also matches where nothing stands.
    """

    at: AnyPointer | None = None
    equals: Any = None
    verdict: str

    @model_validator(mode="after")
    def _looks(self) -> Self:
        if ("equals" in self.model_fields_set) != ("at" in self.model_fields_set):
            raise ValueError("'at' and 'equals' go together")
        return self


class HttpRow(Row):
    """A row that also asks for an HTTP status: one, a class such as `5xx`, or a list of those."""

    http: HttpStatuses

    def matches_status(self, status: int) -> bool:
        return any(str(status) == s or (s.endswith("xx") and s[0] == str(status)[0]) for s in self.http)


class StatusRow(HttpRow):
    """One row of the status table; the first that matches gives the verdict.

    `wait_s`: the pause before the same is asked again (slow_down without Retry-After, in_progress). After `attempts`
    questions in all an in_progress answer counts as `then`.
    """

    verdict: Verdict
    wait_s: float = Field(default=5.0, gt=0, le=3600)
    attempts: int = Field(default=3, ge=1, le=100)
    then: Literal["hit", "miss", "unavailable", "ambiguous"] = "ambiguous"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = self.model_fields_set
        if self.verdict != "in_progress" and given & {"attempts", "then"}:
            raise ValueError("'attempts' and 'then' go with the verdict in_progress only")
        if self.verdict not in ("in_progress", "slow_down") and "wait_s" in given:
            raise ValueError("'wait_s' goes with the verdicts slow_down and in_progress only")
        return self


class Confidence(Part):
    """Where the vendor's own certainty stands and the number that means certain: 10 for PDL's likelihood."""

    at: Pointer
    scale: float = Field(default=1.0, gt=0)


class VerificationRule(Part):
    """Where a verifier's word stands, and what each of its words means. A word that is not listed is `unknown`."""

    at: Pointer
    map: Mapping[str, Verified] = Field(min_length=1)


class Output(Part):
    """One field that the vendor fills: the first of `at` that holds a usable value, transformed in order, then mapped.

    `map` translates the vendor's words into ours; a word that is not listed gives no value.
    `confidence` and `verification` override the endpoint's.
    """

    at: Pointers
    transform: Annotated[tuple[Transform, ...], OneOrMany()] = ()
    map: Mapping[str, str] | None = None
    confidence: Confidence | None = None
    verification: VerificationRule | None = None
