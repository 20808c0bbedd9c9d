"""From a spec and the inputs of a lookup to one request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from revetl.http import header_value
from revetl.providers.grammar import ProviderSpec, fill


class UnusableInput(ValueError):
    """An input that this request can't hold; nothing may be sent. The message names its place, never its value."""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One request without its credentials. `shown_as`: how messages name the path, where inputs stand in it."""

    method: str
    path: str
    query: Mapping[str, str]
    json: Any = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    shown_as: str | None = None


def render(spec: ProviderSpec, inputs: Mapping[str, str], placed: Mapping[str, Any] | None = None) -> OutgoingRequest:
    """The request for these inputs. Parameters whose inputs are absent are left out. `placed`: pointer into the body →
    what else stands there. `UnusableInput` where an input can't stand in a path or in a header."""
    request = spec.request
    path = fill(request.path, inputs, _step)
    if path is None:
        raise UnusableInput("an input of the path is missing")
    body = None if request.json_body is None else fill_tree(request.json_body, inputs)
    for pointer, value in (placed or {}).items():
        body = body or {}
        _put(body, pointer, value)
    return OutgoingRequest(
        request.method,
        path,
        _filled(request.query, inputs),
        body,
        None if request.form is None else _filled(request.form, inputs),
        _headers(request.headers, inputs),
        request.path if path != request.path else None,
    )


def fill_tree(node: Any, inputs: Mapping[str, str]) -> Any:
    """A JSON body with its templates filled; what lacks an input is left out, and so is what is empty without it."""
    if isinstance(node, str):
        return fill(node, inputs)
    if isinstance(node, Mapping):
        filled = {key: fill_tree(value, inputs) for key, value in node.items()}
        return {key: value for key, value in filled.items() if value is not None} or None
    if isinstance(node, list):
        return [value for item in node if (value := fill_tree(item, inputs)) is not None] or None
    return node


def _filled(parameters: Mapping[str, tuple[str, ...]], inputs: Mapping[str, str]) -> dict[str, str]:
    """Each with the first of its templates whose inputs are there."""
    found: dict[str, str] = {}
    for name, templates in parameters.items():
        text = next((t for template in templates if (t := fill(template, inputs)) is not None), None)
        if text is not None:
            found[name] = text
    return found


def _headers(headers: Mapping[str, str], inputs: Mapping[str, str]) -> dict[str, str]:
    found = {name: text for name, template in headers.items() if (text := fill(template, inputs)) is not None}
    for name, text in found.items():
        try:
            header_value(text)
        except ValueError:
            raise UnusableInput(f"an input can't stand in the header {name}") from None
    return found


def _put(body: Any, pointer: str, value: Any) -> None:
    *path, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for part in path:
        body = body.setdefault(part, {})
    body[last] = value


def _step(value: str) -> str:
    """One step of a path. Dots alone would lead to another one, whatever they are escaped as."""
    if value.strip(".") == "":
        raise UnusableInput("an input of the path is nothing but dots")
    return quote(value, safe="")
