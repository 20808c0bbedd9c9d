"""The grammar of a provider: everything that revetl needs to know of one vendor endpoint, as data.

It is closed on purpose: a key that is not here is an error, and there are no expressions. A vendor that needs more is
a Python class with `Provider`'s interface. One YAML file describes one vendor (`VendorFile`); each of its endpoints
becomes one flat `ProviderSpec` named `<vendor>.<endpoint>`.

Money is in US dollars as Decimal, times in seconds or days as the names say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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
Transform = Literal["lower", "upper", "strip", "title", "first", "last", "https", "digits"]
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


def _as_tuple(value: object) -> object:
    """One alone may stand without brackets."""
    return value if isinstance(value, list | tuple) else (value,)


Pointer = Annotated[str, AfterValidator(_pointer)]
Pointers = Annotated[tuple[Pointer, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
HttpStatus = Annotated[str, BeforeValidator(_status)]
HttpStatuses = Annotated[tuple[HttpStatus, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Usd = Annotated[Decimal, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Mistake(NamedTuple):
    """A name that stands for nothing, where it stands (keys and indexes), and what would be right."""

    place: tuple[str | int, ...]
    message: str
    hint: str | None


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Auth(Part):
    """Where the connection's `api_key` goes. The secret itself never stands in a spec.

    header: `name: <prefix><key>`; query: `?name=<key>`; bearer: `Authorization: Bearer <key>`;
    basic: the key as user name with an empty password.
    """

    type: Literal["header", "query", "bearer", "basic"]
    name: str | None = None
    prefix: str = ""

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.type in ("header", "query")) != (self.name is not None):
            raise ValueError("'name' goes with the types header and query, and only with them")
        return self


class Request(Part):
    """One HTTP request. A template is text with `{input}` in it; where an input is absent the parameter is left out.

    A list in `query` holds alternatives: the first whose inputs are all present is sent. `path` takes no inputs: it
    stands in logs and messages, where nothing of a customer may stand.
    """

    method: Literal["GET", "POST"] = "GET"
    path: str = Field(pattern=r"^/[^{}?#\s]*$")
    query: Mapping[str, Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]] = Field(default_factory=dict)
    json_body: Mapping[str, Any] | None = Field(default=None, alias="json")

    def templates(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every template, with its place inside the endpoint."""
        yield from _texts({"query": self.query, "json": self.json_body}, ("request",))

    @model_validator(mode="after")
    def _body_with_post(self) -> Self:
        if self.method == "GET" and self.json_body is not None:
            raise ValueError("a GET has no 'json'; use 'query', or 'method: POST'")
        return self


class StatusRow(Part):
    """One row of the status table; the first that matches gives the verdict.

    `at` with `equals`: the value at the pointer is that, or one of a list; null also matches where nothing stands.
    `wait_s`: the pause before the same is asked again (slow_down without Retry-After, in_progress). After `attempts`
    questions in all an in_progress answer counts as `then`.
    """

    http: HttpStatuses
    at: Pointer | None = None
    equals: Any = None
    verdict: Verdict
    wait_s: float = Field(default=5.0, gt=0, le=3600)
    attempts: int = Field(default=3, ge=1, le=100)
    then: Literal["hit", "miss", "unavailable", "ambiguous"] = "ambiguous"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = self.model_fields_set
        if ("equals" in given) != ("at" in given):
            raise ValueError("'at' and 'equals' go together")
        if self.verdict != "in_progress" and given & {"attempts", "then"}:
            raise ValueError("'attempts' and 'then' go with the verdict in_progress only")
        if self.verdict not in ("in_progress", "slow_down") and "wait_s" in given:
            raise ValueError("'wait_s' goes with the verdicts slow_down and in_progress only")
        return self

    def matches_status(self, status: int) -> bool:
        return any(str(status) == s or (s.endswith("xx") and s[0] == str(status)[0]) for s in self.http)


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
    transform: Annotated[tuple[Transform, ...], BeforeValidator(_as_tuple)] = ()
    map: Mapping[str, str] | None = None
    confidence: Confidence | None = None
    verification: VerificationRule | None = None


class PriceGroup(Part):
    """An addition to the price where at least one of these fields has a value."""

    fields: Annotated[tuple[str, ...], Field(min_length=1)]
    usd: Usd


class Place(Part):
    """Where a number stands: in a response header or in the body."""

    header: str | None = None
    at: Pointer | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.header is None) == (self.at is None):
            raise ValueError("say where it stands: either 'header' or 'at'")
        return self


class Credits(Place):
    """Where the vendor says how many credits a call took and what a credit costs; where, how many are left."""

    usd: Usd
    remaining: Place | None = None


class Price(Part):
    """What the account pays. `per_call_usd` whatever comes back, `per_hit_usd` on a hit alone."""

    per_call_usd: Usd = Decimal(0)
    per_hit_usd: Usd = Decimal(0)
    groups: tuple[PriceGroup, ...] = ()
    credits: Credits | None = None

    @property
    def greatest_usd(self) -> Decimal:
        return self.per_call_usd + self.per_hit_usd + sum((g.usd for g in self.groups), Decimal(0))


class Ttl(Part):
    """For how many days an answer stands before the same may be asked again; `fields` overrides `hit_days`."""

    hit_days: int = Field(default=180, ge=1)
    miss_days: int = Field(default=30, ge=1)
    fields: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


class Window(Part):
    """At most `calls` in any `seconds`."""

    calls: int = Field(ge=1)
    seconds: float = Field(gt=0)


class Limits(Part):
    windows: tuple[Window, ...] = ()
    concurrency: int = Field(default=8, ge=1, le=1000)


class Endpoint(Part):
    """One question that the vendor answers."""

    kind: Kind = "finder"
    entity: Entity
    inputs: Annotated[tuple[Name, ...], Field(min_length=1)]
    sufficient: Annotated[tuple[Annotated[tuple[Name, ...], Field(min_length=1)], ...], Field(min_length=1)]
    request: Request
    status: tuple[StatusRow, ...] = ()
    outputs: Annotated[Mapping[Name, Output], Field(min_length=1)]
    confidence: Confidence | None = None
    verification: VerificationRule | None = None
    price: Price
    free_repeat_days: int = Field(default=0, ge=0)
    ttl: Ttl = Ttl()
    limits: Limits = Limits()
    timeout_s: float = Field(default=30.0, gt=0, le=600)

    def mistakes(self) -> Iterator[Mistake]:
        """Names that stand for nothing: what the shapes alone can't tell. Each with its place inside the endpoint."""
        for i, group in enumerate(self.sufficient):
            yield from _unknown(("sufficient", i), group, self.inputs, "an input of this endpoint")
        for place, text in self.request.templates():
            yield from _unknown(place, _REFERENCE.findall(text), self.inputs, "an input of this endpoint")
        outputs = tuple(self.outputs)
        for name in outputs:
            yield from _unknown(("outputs", name), [name], FIELDS[self.entity], f"a field of a {self.entity}")
        for name in self.ttl.fields:
            yield from _unknown(("ttl", "fields", name), [name], outputs, "an output of this endpoint")
        for i, priced in enumerate(self.price.groups):
            yield from _unknown(("price", "groups", i), priced.fields, outputs, "an output of this endpoint")
        credits = self.price.credits
        if credits is not None and self.price.greatest_usd < credits.usd:
            message = "one credit costs more than the greatest declared price of a call, which is what budgets reserve"
            yield Mistake(("price",), message, "Declare per_call_usd or per_hit_usd.")
        sent = {name for _, text in self.request.templates() for name in _REFERENCE.findall(text)}
        for name in self.inputs:
            if name not in sent:
                yield Mistake(("inputs",), f"the request never sends the input {name!r}", None)
        if self.kind == "verifier" and not (self.verification or any(o.verification for o in self.outputs.values())):
            yield Mistake(("kind",), "a verifier needs 'verification'", None)


class VendorFile(Part):
    """One file of enrichment/providers/. `status` holds for every endpoint, after the endpoint's own rows."""

    vendor: Name
    title: str = ""
    base_url: str = Field(pattern=r"^https?://[^/]+")
    auth: Auth
    error_code: Annotated[tuple[Pointer, ...], BeforeValidator(_as_tuple)] = ()
    status: tuple[StatusRow, ...] = ()
    endpoints: Annotated[Mapping[Name, Endpoint], Field(min_length=1)]

    def mistakes(self) -> Iterator[Mistake]:
        for name, endpoint in self.endpoints.items():
            for mistake in endpoint.mistakes():
                yield mistake._replace(place=("endpoints", name, *mistake.place))
            if not any("hit" in (row.verdict, row.then) for row in (*endpoint.status, *self.status)):
                yield Mistake(("endpoints", name), "no row of the status table says 'hit'", None)

    def specs(self) -> Iterator[ProviderSpec]:
        shared = {name: getattr(self, name) for name in ("vendor", "base_url", "auth", "error_code")}
        for name, endpoint in self.endpoints.items():
            own = {field: getattr(endpoint, field) for field in Endpoint.model_fields}
            status = (*endpoint.status, *self.status)
            yield ProviderSpec.model_validate({**shared, **own, "name": f"{self.vendor}.{name}", "status": status})


class ProviderSpec(Endpoint):
    """One endpoint with what it shares with its vendor: all that the enrichment engine and the caller need.

    `vendor` is also the name of the connection in profiles/connections.yml, whose `base_url` goes before this one's.
    """

    name: str
    vendor: str
    base_url: str
    auth: Auth
    error_code: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it may fill, as declared."""
        return tuple(self.outputs)

    def can_ask(self, inputs: Mapping[str, str | None]) -> bool:
        """Whether at least one sufficient combination of inputs is present and not empty."""
        return any(all(inputs.get(name) for name in group) for group in self.sufficient)

    def relevant(self, inputs: Mapping[str, str | None]) -> dict[str, str]:
        """The inputs that would be sent: two lookups for which this is equal are the same question."""
        return {name: value for name in self.inputs if (value := inputs.get(name))}

    @property
    def price_per_call(self) -> Decimal:
        return self.price.per_call_usd

    @property
    def price_per_hit(self) -> Decimal:
        """What a hit adds to the price of the call, additions for field groups not counted."""
        return self.price.per_hit_usd

    @property
    def greatest_usd(self) -> Decimal:
        """The most that one call may cost by this price: what has to be reserved before it leaves."""
        return self.price.greatest_usd

    def ttl_hit_days(self, field: str) -> int:
        return self.ttl.fields.get(field, self.ttl.hit_days)

    @property
    def ttl_miss_days(self) -> int:
        return self.ttl.miss_days


def _texts(value: object, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, (*at, name))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _texts(item, (*at, i))


def _unknown(
    place: tuple[str | int, ...], names: Iterable[str], known: tuple[str, ...], what: str
) -> Iterator[Mistake]:
    for name in dict.fromkeys(names):
        if name not in known:
            yield Mistake(place, f"{name!r} is not {what}", did_you_mean(name, known))
