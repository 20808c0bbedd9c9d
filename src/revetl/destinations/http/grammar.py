"""The grammar of an API's objects: a closed list of keys, no expressions. A key that is not here is an error with its
line, and so is a pointer that can never match. An API that needs more is a connector of its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from revetl.destinations.base import FieldType
from revetl.destinations.http.answers import ApiJob, ApiPaging, ApiResults, Unnamed
from revetl.destinations.http.syntax import CLOSED, Path, Pointer, parameters
from revetl.model import Operation
from revetl.one_or_many import OneOrMany

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class ApiRequest(BaseModel):
    """One operation. `path` has columns, `{id}` (the id there) and `{key}` (our key) in it: a column that stands there
    is left out of the body. `body`: the fields that changed, all of them, or none. `rows`: how many records one call
    takes; None: one, which stands by itself and not in a list. `at`: where the record or the list stands in the body,
    `beside`: what stands there too; `inside`: the member of a record that holds its columns. `id_as`, `key_as`: the
    member of a record that holds its id there, or our key. `shape: change`: each record is `{key, op, fields}`.
    `results`: what the answer says of each record; `unnamed`: what one is that no result names (`ok`, or `accepted`,
    where the answer lists only what was refused), in an answer in which at least one of the lists stands, or may be
    left out (`optional`). `job`: the answer names a job that is followed."""

    model_config = CLOSED

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
    results: Annotated[tuple[ApiResults, ...], OneOrMany()] = ()
    unnamed: Unnamed = "unknown"
    job: ApiJob | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.rows is not None and parameters(self.path):
            raise ValueError("many records in one call have one path: leave out 'rows', or the {…} in 'path'")
        if self.beside and not self.at:
            raise ValueError("'beside' needs 'at': say where the records stand beside it")
        if self.rows is not None and self.body == "none" and not (self.id_as or self.key_as):
            raise ValueError("a record without a body is named by 'id_as' or by 'key_as'")
        if self.job is not None and self.results:
            raise ValueError("results that come later stand under 'job': leave out 'results' beside it")
        for result in self.all_results:
            unsent = not self.key_as and self.shape == "columns"
            if self.rows is not None and result.by == "key" and result.key_is == "key" and unsent:
                raise ValueError("the answer can repeat our key only where 'key_as' sends it")
        return self

    @property
    def all_results(self) -> tuple[ApiResults, ...]:
        """Of the answer, or of the job that it names."""
        return self.results if self.job is None else self.job.results


class ApiQuestion(BaseModel):
    """A GET. What is asked for goes into `{value}` of the path, or into the query as `param`, several joined by commas
    where `rows` is more than 1. With neither the whole list is read and searched. `records`: where the list, or the
    only record, stands in the answer; `record`: where the fields stand within one."""

    model_config = CLOSED

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


class ApiObject(BaseModel):
    """One kind of record. `id`: where its id stands in the answer to a create and in what is read. `upsert` takes the
    place of `create`, and of `update` where there is none. `constants`: in every record that is sent. `fields`: the
    type of those that are not as the model has them (`json`: a column of text holds JSON); `ignore_case`: those in
    which the vendor does; `unique`: those, of text, in which it refuses a value that another record has. `event_id`:
    the field by which an event is known there; only for events. `id_field`: the name under which a model may have the
    ids that the vendor gave, as `match_on` of `mode: update`; it is found by `read_back`."""

    model_config = CLOSED

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
        if len({request.job is None for request in self.requests}) == 2:
            raise ValueError("a plan goes by jobs or it does not: give 'job' to all requests of an object, or to none")
        return self

    @property
    def uses_id(self) -> bool:
        """Whether the id that the vendor gives is needed for anything."""
        named = any("id" in parameters(r.path) or r.id_as for r in self.requests)
        return named or self.look_up is not None or self.read_back is not None

    @property
    def runs_jobs(self) -> bool:
        return all(request.job is not None for request in self.requests)

    @property
    def requests(self) -> list[ApiRequest]:
        return [r for r in (self.create, self.update, self.upsert, self.delete) if r is not None]


def request_of(object_: ApiObject, op: Operation) -> ApiRequest | None:
    """None where the description has none."""
    if op is Operation.CREATE:
        return object_.upsert or object_.create
    return (object_.update or object_.upsert) if op is Operation.UPDATE else object_.delete
