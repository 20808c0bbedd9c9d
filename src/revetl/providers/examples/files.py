"""enrichment/examples/<vendor>/<endpoint>.<case>.yml, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from revetl.documents import Document, parse, read_yaml
from revetl.errors import ConfigError, Problem


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpectedRequest(_Part):
    """What the vendor is sent. Only what is named is compared; `{api_key}` stands for the account's key."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    json_body: Any = Field(default=None, alias="json")
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = Field(default_factory=dict)


class GivenResponse(_Part):
    """What it answers: `body` as JSON, or `text` as it stands."""

    status: int = Field(ge=100, le=599)
    headers: Mapping[str, str] = Field(default_factory=dict)
    body: Any = None
    text: str = ""

    @property
    def is_json(self) -> bool:
        return "body" in self.model_fields_set


class Exchange(_Part):
    request: ExpectedRequest
    response: GivenResponse


class ExpectedError(_Part):
    type: Literal["Denied", "Unavailable", "Ambiguous"]
    says: str


class ExpectedValue(_Part):
    value: str
    confidence: float | None = None
    verification: str | None = None


class ExpectedAnswer(_Part):
    status: Literal["hit", "miss", "error", "suppressed"]
    charged_usd: float
    error_code: str | None = None
    values: Mapping[str, ExpectedValue] = Field(default_factory=dict)


class ExampleFile(_Part):
    """One question with `inputs`, or a batch with `lookups` by ref; the vendor's answers in order, the last one again
    where it is asked more often; and what comes of it: `answer`, `answers` by ref (or an error's name), or `error`.
    `jobs`: the ids that are told of. `waited_s`: the least that passes meanwhile."""

    provider: str
    inputs: Mapping[str, str] | None = None
    lookups: Mapping[str, Mapping[str, str]] | None = None
    exchanges: Annotated[tuple[Exchange, ...], Field(min_length=1)]
    answer: ExpectedAnswer | None = None
    answers: Mapping[str, ExpectedAnswer | str] | None = None
    error: ExpectedError | None = None
    jobs: tuple[str, ...] = ()
    waited_s: float = 0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.inputs is None) == (self.lookups is None):
            raise ValueError("one question has 'inputs', a batch has 'lookups'")
        if sum(said is not None for said in (self.answer, self.answers, self.error)) != 1:
            raise ValueError("say what comes of it: 'answer', 'answers' or 'error'")
        if self.error is None and (self.answers is None) != (self.lookups is None):
            raise ValueError("'inputs' go with 'answer', 'lookups' with 'answers'")
        return self


@dataclass(frozen=True, slots=True)
class Example:
    """One file. `case` is the word between the endpoint's name and the ending: hit, throttled, error, …"""

    document: Document
    content: ExampleFile
    case: str

    @property
    def path(self) -> Path:
        return self.document.path

    @property
    def provider(self) -> str:
        return self.content.provider


def read_examples(folder: Path, vendor: str = "*") -> list[Example]:
    """Every example of the folder, or of one vendor, in the order of the files. ConfigError with every mistake at its
    line."""
    found: list[Example] = []
    problems: list[Problem] = []
    for path in sorted(folder.glob(f"{vendor}/*.yml")):
        try:
            document = read_yaml(path)
            content = parse(document, ExampleFile)
        except ConfigError as e:
            problems.extend(e.problems)
            continue
        endpoint, _, case = path.stem.partition(".")
        named = f"{path.parent.name}.{endpoint}"
        if content.provider != named:
            problems.append(document.problem(("provider",), f"the file's name says {named!r}"))
        found.append(Example(document, content, case))
    if problems:
        raise ConfigError(problems)
    return found
