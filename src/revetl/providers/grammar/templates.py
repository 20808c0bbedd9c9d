"""Templates: text with `{input}` in it. They hold no logic beyond "the first of these that is present"."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

INPUTS = re.compile(r"\{([^{}]*)\}")


def references(template: str) -> list[str]:
    """The names in `{…}`, in order; alternatives (`{a|b}`) each."""
    return [name for group in INPUTS.findall(template) for name in group.split("|")]


def fill(template: str, values: Mapping[str, str], written: Callable[[str], str] = str) -> str | None:
    """The template with each `{name}` replaced, of alternatives by the first that is there; None where one has none.
    `written`: how a value is written where it stands, as in a path."""
    found = {group: next(filter(None, map(values.get, group.split("|"))), "") for group in INPUTS.findall(template)}
    return INPUTS.sub(lambda m: written(found[m[1]]), template) if all(found.values()) else None


def texts(value: object, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text inside of JSON data, with its place (keys and indexes) under `at`."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts(item, (*at, name))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from texts(item, (*at, i))
