"""What is sent: where the key goes, and the request with its templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from revetl.providers.grammar.model import GrammarModel, OneOrMany
from revetl.providers.grammar.templates import texts


class Auth(GrammarModel):
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


class RequestTemplate(GrammarModel):
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
