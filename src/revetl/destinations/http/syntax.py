"""The small words of the grammar: pointers, paths with columns in them, statuses, one value or a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    WithJsonSchema,
)

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


Pointer = Annotated[str, AfterValidator(_pointer)]
Path = Annotated[str, AfterValidator(_path)]
Status = Annotated[str, BeforeValidator(_status), WithJsonSchema({"type": ["integer", "string"]})]


CLOSED = ConfigDict(extra="forbid", frozen=True)  # of every model of the grammar: an unknown key is an error


def parameters(path: str) -> list[str]:
    """The names in `{…}`."""
    return _PARAMETER.findall(path)


def fill(path: str, values: Mapping[str, str]) -> str:
    return _PARAMETER.sub(lambda found: values[found[1]], path)
