"""The beginning of an answer's body as a message may hold it: one line, bounded, masked, and never code for a terminal.

An endpoint that refuses says why in its body, in words of its own. It may repeat there what it was sent, so every value
of the request is masked beside secrets, credentials and addresses.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import httpx

from revetl.http.redact import MASK

_MOST = 200  # characters that are shown
_READ = 4_096  # bytes that are looked at
_LONGEST_CODE = 100
_SHORTEST = 3  # characters of a value that is masked: a shorter one stands in any text
# Controls, formatting (bidi marks, zero width), surrogates, private use, separators of lines and paragraphs.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def excerpt(response: httpx.Response, redact: Callable[[str], str], text: str | None = None) -> str:
    """Of `text`, a piece of the answer, or of its whole body. Empty where it holds nothing but blanks. Masked before it
    is cut, so that no half of a secret is left."""
    sent = sorted(_values(_body_of(response)), key=len, reverse=True)

    def masked(text: str) -> str:
        text = redact(text)
        lower = text.lower()
        for value in sent:
            if value in lower:
                text = re.sub(re.escape(value), MASK, text, flags=re.IGNORECASE)
        return text

    said = response.content[:_READ].decode("utf-8", "replace") if text is None else text[:_READ]
    text = masked(" ".join(said.split()))
    plain = "".join(c for c in text if unicodedata.category(c) not in _ACTING)
    if (of_plain := masked(plain)) != plain:
        text = of_plain  # a mark inside a value had kept it from being found
    text = "".join(map(_visible, text))
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def one_word(text: str | None) -> str | None:
    """A vendor's own code for an error as a message may hold it: bounded, and never code for a terminal. None where
    nothing is left."""
    return printable(text or "", _LONGEST_CODE) or None


def printable(text: str, most: int) -> str:
    """The first `most` characters, those that a terminal acts on spelled out."""
    return "".join(map(_visible, text[:most]))


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _ACTING:
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _body_of(response: httpx.Response) -> Any:
    """What was sent, where it is JSON."""
    try:
        return json.loads(response.request.content)
    except (RuntimeError, ValueError):  # no request is known, it is no JSON, or (a RecursionError) too deep
        return None


def _values(body: Any) -> set[str]:
    """Every value that was sent, in small letters. What kind of change it is names nobody."""
    found = set[str]()
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [inner for name, inner in value.items() if name != "op"]
        elif isinstance(value, list):
            waiting += value
        elif value is not None and not isinstance(value, bool):
            found.add(str(value).lower())
    return {text for text in (" ".join(v.split()) for v in found) if len(text) >= _SHORTEST}
