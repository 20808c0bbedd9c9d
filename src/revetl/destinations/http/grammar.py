"""The grammar of an API's objects: a closed list of keys, no expressions. A key that is not here is an error with its
line, and so is a pointer that can never match. An API that needs more is a connector of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

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

from revetl.destinations.base import FieldType
from revetl.model import Operation

# What an answer, or one record of it, means.
#   ok, accepted    taken; taken and not applied yet
#   gone            there is no such record: what a delete wanted, a refusal of all else
#   exists          there is one already: refused, and found by the next plan where it can be looked up
#   invalid         this record, or the whole batch, because of its own values: it waits until its row changes
#   rejected        the same, whatever the cause: each run tries it again
#   denied, throttled, unavailable, ambiguous   as the HTTP session has them
Verdict = Literal[
    "ok", "accepted", "gone", "exists", "invalid", "rejected", "denied", "throttled", "unavailable", "ambiguous"
]
OfRecord = Literal["ok", "accepted", "gone", "exists", "invalid", "rejected"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_PARAMETER = re.compile(r"\{([^{}]+)\}")
_STATUS = re.compile(r"[1-5](\d\d|xx)")


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError(f"a JSON pointer starts with '/', as in '/data/id'; {text!r} can never match")
    if re.search(r"~(?![01])", text):
        raise ValueError(f"in a JSON pointer '~' is written ~0 and '/' is written ~1; {text!r} can never match")
    return text


def _status(value: object) -> str:
    text = str(value)
    if isinstance(value, bool) or not _STATUS.fullmatch(text):
        raise ValueError(f"an HTTP status is a number or a class such as '5xx'; this is {text!r}")
    return text


def _path(text: str) -> str:
    path, _, _ = text.partition("?")
    bare = _PARAMETER.sub("x", path)
    if not text.startswith("/") or text != path or re.search(r"[{}#\\\s]", bare) or ".." in bare.split("/"):
        raise ValueError(f"a path starts with '/' and has neither query nor blanks; a column stands in {{}}: {text!r}")
    return text


class _OneOrMany:
    """On a tuple: one alone may stand without brackets, in the file and in the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def listed(value: object) -> object:
            return value if isinstance(value, list | tuple) else (value,)

        return no_info_before_validator_function(listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


Pointer = Annotated[str, AfterValidator(_pointer)]
Path = Annotated[str, AfterValidator(_path)]
Status = Annotated[str, BeforeValidator(_status), WithJsonSchema({"type": ["integer", "string"]})]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def parameters(path: str) -> list[str]:
    """The names in `{…}`."""
    return _PARAMETER.findall(path)


def fill(path: str, values: Mapping[str, str]) -> str:
    return _PARAMETER.sub(lambda found: values[found[1]], path)


class ApiStatusRow(_Model):
    """The first row that matches says it. `http`: a status, a class, or a list of them. `at` with `equals`: also what
    stands there in the body, one value or a list of those."""

    http: Annotated[tuple[Status, ...], _OneOrMany()]
    verdict: Verdict
    at: Pointer | None = None
    equals: Any = None

    @model_validator(mode="after")
    def _looks(self) -> Self:
        if ("equals" in self.model_fields_set) != (self.at is not None):
            raise ValueError("'at' and 'equals' go together")
        return self

    def matches_status(self, status: int) -> bool:
        return any(str(status) == s or (s.endswith("xx") and s[0] == str(status)[0]) for s in self.http)


class ResultVerdict(_Model):
    """What a sign in the result of one record means."""

    at: Pointer
    equals: Any
    verdict: OfRecord


class ApiResults(_Model):
    """A list in the answer with a result for each record. A record is told by `key`, where the result repeats what
    `key_is` says (our key, the id there, or a column), or by its place (`by: order`). `verdicts`: the first that
    matches, else it is `otherwise`. A record that no result names is unknown."""

    at: Pointer = ""
    by: Literal["key", "order"] = "key"
    key: Pointer | None = None
    key_is: str = "key"
    id: Pointer | None = None
    code: Pointer | None = None
    message: Pointer | None = None
    verdicts: tuple[ResultVerdict, ...] = ()
    otherwise: OfRecord = "ok"

    @model_validator(mode="after")
    def _told(self) -> Self:
        if (self.by == "key") != (self.key is not None):
            raise ValueError("say where the result names its record ('key'), or that they come in order ('by: order')")
        return self


class ApiRequest(_Model):
    """One operation. `path` has columns, `{id}` (the id there) and `{key}` (our key) in it: a column that stands there
    is left out of the body. `body`: the fields that changed, all of them, or none. `rows`: how many records one call
    takes; None: one, which stands by itself and not in a list. `at`: where the record or the list stands in the body,
    `beside`: what stands there too; `inside`: the member of a record that holds its columns. `id_as`, `key_as`: the
    member of a record that holds its id there, or our key. `shape: change`: each record is `{key, op, fields}`."""

    method: Method
    path: Path
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    body: Literal["changed", "whole", "none"] = "changed"
    shape: Literal["columns", "change"] = "columns"
    rows: int | None = Field(default=None, ge=1, le=10_000)
    at: Pointer = ""
    beside: dict[str, Any] = {}
    inside: str | None = None
    id_as: str | None = None
    key_as: str | None = None
    results: Annotated[tuple[ApiResults, ...], _OneOrMany()] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.rows is not None and parameters(self.path):
            raise ValueError("many records in one call have one path: leave out 'rows', or the {…} in 'path'")
        if self.beside and not self.at:
            raise ValueError("'beside' needs 'at': say where the records stand beside it")
        if self.rows is not None and self.body == "none" and not (self.id_as or self.key_as):
            raise ValueError("a record without a body is named by 'id_as' or by 'key_as'")
        for result in self.results:
            unsent = not self.key_as and self.shape == "columns"
            if self.rows is not None and result.key and result.key_is == "key" and unsent:
                raise ValueError("the answer can repeat our key only where 'key_as' sends it")
        return self


class ApiPaging(_Model):
    """How a list goes on: `next` is a pointer to what `param` is given in the following request (a cursor), until
    nothing stands there; without it `param` counts: pages from `first`, or records (`counts: records`), until a page is
    empty. Without `param`, `next_url` is a pointer to the address of the next page, or `link_header` says that it
    stands in the header `Link`."""

    param: str | None = None
    next: Pointer | None = None
    counts: Literal["pages", "records"] = "pages"
    first: int = 1
    next_url: Pointer | None = None
    link_header: bool = False

    @model_validator(mode="after")
    def _one_way_on(self) -> Self:
        ways = [self.param is not None, self.next_url is not None, self.link_header]
        if sum(ways) != 1:
            raise ValueError("say how the list goes on: by 'param', by 'next_url' or by 'link_header'")
        if self.param is None and self.next is not None:
            raise ValueError("'next' is what 'param' is given: an address is 'next_url'")
        return self


class ApiQuestion(_Model):
    """A GET. What is asked for goes into `{value}` of the path, or into the query as `param`, several joined by commas
    where `rows` is more than 1. With neither the whole list is read and searched. `records`: where the list, or the
    only record, stands in the answer; `record`: where the fields stand within one."""

    path: Path
    param: str | None = None
    query: dict[str, str] = {}
    rows: int = Field(default=1, ge=1, le=1_000)
    records: Pointer = ""
    record: Pointer = ""
    page: ApiPaging | None = None

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if extra := [name for name in parameters(self.path) if name != "value"]:
            raise ValueError(f"a question has {{value}} in its path, and not {{{extra[0]}}}")
        if self.rows > 1 and "{value}" in self.path:
            raise ValueError("a path holds one value: leave out 'rows'")
        if self.param is not None and "{value}" in self.path:
            raise ValueError("the value goes into the path or into the query")
        return self


class ApiLookUp(ApiQuestion):
    """`by`: the fields by which records can be looked up; `match_on` has to be one of them."""

    by: tuple[str, ...] = Field(min_length=1)


class ApiObject(_Model):
    """One kind of record. `id`: where its id stands in the answer to a create and in what is read. `upsert` takes the
    place of `create`, and of `update` where there is none. `constants`: in every record that is sent. `fields`: the
    type of those that are not as the model has them (`json`: a column of text holds JSON); `ignore_case`: those in
    which the vendor does; `unique`: those, of text, in which it refuses a value that another record has. `event_id`:
    the field by which an event is known there; only for events. `id_field`: the name under which a model may have the
    ids that the vendor gave, as `match_on` of `mode: update`; it is found by `read_back`."""

    id: Pointer = "/id"
    create: ApiRequest | None = None
    update: ApiRequest | None = None
    upsert: ApiRequest | None = None
    delete: ApiRequest | None = None
    look_up: ApiLookUp | None = None
    read_back: ApiQuestion | None = None
    constants: dict[str, Any] = {}
    fields: dict[str, FieldType] = {}
    ignore_case: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    kind: Literal["records", "events"] = "records"
    event_id: str | None = None
    id_field: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        first = self.upsert or self.create
        if first is None:
            raise ValueError("say how a record is made: 'create' or 'upsert'")
        if "id" in parameters(first.path) or first.id_as:
            raise ValueError("a record has no id before it is made: {id} and 'id_as' can't stand in create or upsert")
        if self.kind == "records" and not (self.update or self.upsert):
            raise ValueError("say how a record is changed: 'update' or 'upsert'; what only grows is 'kind: events'")
        if self.id_field is not None and self.read_back is None:
            raise ValueError("'id_field' needs 'read_back': a record is found by its id there")
        if self.kind == "events" and (self.update or self.upsert or self.delete):
            raise ValueError("events are only made: leave out update, upsert and delete")
        return self

    @property
    def uses_id(self) -> bool:
        """Whether the id that the vendor gives is needed for anything."""
        named = any("id" in parameters(r.path) or r.id_as for r in self.requests)
        return named or self.look_up is not None or self.read_back is not None

    @property
    def requests(self) -> list[ApiRequest]:
        return [r for r in (self.create, self.update, self.upsert, self.delete) if r is not None]


def request_of(object_: ApiObject, op: Operation) -> ApiRequest | None:
    """None where the description has none."""
    if op is Operation.CREATE:
        return object_.upsert or object_.create
    return (object_.update or object_.upsert) if op is Operation.UPDATE else object_.delete
