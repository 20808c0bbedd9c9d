"""The values of an answer, as the endpoint's `outputs` say. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from revetl.providers.base import ProvidedValue, Verification
from revetl.providers.engine.json_data import is_one_of, value_at
from revetl.providers.grammar import ConfidenceRule, ListItem, Output, ProviderSpec, VerificationRule

MAX_VALUE_CHARS = 4_000  # of one provided value; more than this is not a field but a document


def values_of(spec: ProviderSpec, body: Any) -> list[ProvidedValue]:
    values = []
    for field, output in spec.outputs.items():
        held = body if output.pick is None else _picked(output.pick, body)
        text = next((t for p in output.at if (t := _transformed(value_at(held, p), output)) is not None), None)
        if text is None:
            continue
        confidence = _confidence(output.confidence, held) if output.confidence else _confidence(spec.confidence, body)
        own = output.verification
        verification = _verification(own, held) if own else _verification(spec.verification, body)
        values.append(ProvidedValue(field, text, confidence, verification))
    return values


def _picked(rule: ListItem, body: Any) -> Any:
    """The item that is meant; None where there is none."""
    items = next((found for p in rule.list_at if isinstance(found := value_at(body, p), list)), [])
    for wanted in rule.equals if isinstance(rule.equals, list) else [rule.equals]:
        for item in items:
            if is_one_of(value_at(item, rule.at), wanted):
                return item
    return None


def _transformed(value: Any, output: Output) -> str | None:
    for name in output.transform:
        value = _TRANSFORMS[name](value)
    text = _text(value)
    if text is None or output.map is None:
        return text
    return output.map.get(text)


def _text(value: Any) -> str | None:
    """A scalar as text. A boolean stands for "there is one, but not for this account", so it is no value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text if 0 < len(text) <= MAX_VALUE_CHARS else None


def _confidence(rule: ConfidenceRule | None, body: Any) -> float | None:
    if rule is None:
        return None
    value = value_at(body, rule.at)
    if rule.map is not None:
        return None if value is None or value == "" else rule.map.get(str(value), 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Cut before it is divided: a whole number may be larger than any float.
    return float(max(0, min(value, rule.scale)) / rule.scale)


def _verification(rule: VerificationRule | None, body: Any) -> Verification | None:
    if rule is None:
        return None
    word = value_at(body, rule.at)
    # Nothing there means that nobody verified; a word that the spec does not know means that we can't tell.
    return None if word is None or word == "" else rule.map.get(str(word), "unknown")


def _on_text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda value: change(value) if isinstance(value, str) else value


def _element(index: int) -> Callable[[Any], Any]:
    def take(value: Any) -> Any:
        return (value[index] if value else None) if isinstance(value, list) else value

    return take


def _https(url: str) -> str:
    bare = re.sub(r"^https?://", "", url.strip())
    return f"https://{bare}" if bare else ""


def _year(date: str) -> str:
    """Of a date as ISO 8601 writes it."""
    found = re.match(r"\s*([0-9]{4})(?:-|\s*$)", date)
    return found[1] if found else ""


_TRANSFORMS: Mapping[str, Callable[[Any], Any]] = {
    "lower": _on_text(str.lower),
    "upper": _on_text(str.upper),
    "strip": _on_text(str.strip),
    "title": _on_text(str.title),
    "first": _element(0),
    "last": _element(-1),
    "https": _on_text(_https),
    "digits": _on_text(lambda text: "".join(c for c in text if c.isascii() and c.isdigit())),
    "year": _on_text(_year),
}
