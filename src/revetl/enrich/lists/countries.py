"""Which country a cell names: by its code, or by its name in English, Spanish, French, German, Portuguese or its own
languages. The names in `countries.csv` are those of the Unicode CLDR, and a few that people use beside them."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

from revetl.enrich.lists.headers import plain_name


def country_code(text: str) -> str | None:
    """ISO 3166-1 alpha-2; None where no country is called so."""
    return _codes().get(plain_name(text))


@cache
def _codes() -> dict[str, str]:
    with (files("revetl.enrich.lists") / "countries.csv").open(encoding="utf-8") as file:
        rows = [(row["country"], row["names"].split()) for row in csv.DictReader(file)]
    return {name: code for code, names in rows for name in names} | {code.lower(): code for code, _ in rows}
