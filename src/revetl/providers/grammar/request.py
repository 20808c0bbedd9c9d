"""What is sent: one HTTP request, with its templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from revetl.one_or_many import OneOrMany
from revetl.providers.grammar.model import GrammarModel
from revetl.providers.grammar.templates import texts

Templates = Annotated[tuple[str, ...], OneOrMany()]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")]
# What the session says itself, or what would change where the request goes and whose it is.
_NOT_OURS = ("authorization", "connection", "content-length", "cookie", "host", "transfer-encoding")


class RequestTemplate(GrammarModel):
    """One HTTP request. A template is text with `{input}` in it; where an input is absent the parameter is left out.

    `{a|b}` is the first of the inputs that is present, and a list in `query` or `form` the first template of those
    whose inputs are. An input in `path` becomes one step of it, escaped; logs and messages show the template. The body
    is `json` or `form` (application/x-www-form-urlencoded). Of a batch this is the envelope, without inputs.
    """

    method: Literal["GET", "POST", "PUT", "PATCH"] = "GET"
    path: str = Field(pattern=r"^/([^{}?#\s]|\{[a-z0-9_|]+\})*$")
    query: Mapping[str, Templates] = Field(default_factory=dict)
    headers: Mapping[HeaderName, str] = Field(default_factory=dict)
    json_body: Mapping[str, Any] | None = Field(default=None, alias="json")
    form: Mapping[str, Templates] | None = None

    @property
    def has_body(self) -> bool:
        return self.json_body is not None or self.form is not None

    def templates(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every template, with its place inside the endpoint."""
        yield ("request", "path"), self.path
        named = {"query": self.query, "headers": self.headers, "json": self.json_body, "form": self.form}
        yield from texts(named, ("request",))

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if self.method == "GET" and self.json_body is not None:
            raise ValueError("a GET has no 'json'; use 'query', or 'method: POST'")
        if self.method == "GET" and self.form is not None:
            raise ValueError("a GET has no 'form'; use 'query', or 'method: POST'")
        if self.json_body is not None and self.form is not None:
            raise ValueError("a request has one body: 'json' or 'form'")
        for name in self.headers:
            if name.lower() in _NOT_OURS:
                raise ValueError(f"the header {name!r} is not for a spec to set; credentials go into 'auth'")
        return self
