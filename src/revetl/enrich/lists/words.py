"""Cells that only fill a place, and hosts that are nobody's own."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

# Those that the seed `placeholders` of the starter has for any cell. Some hold blanks, so one a line.
PLACEHOLDERS = frozenset(
    line.strip()
    for line in """
    #calc!
    #div/0!
    #error!
    #getting_data
    #n/a
    #name?
    #nan
    #null!
    #num!
    #ref!
    #spill!
    #value!
    (blank)
    -
    --
    ---
    .
    ?
    a@a.com
    blank
    email@email.com
    n.a
    n.a.
    n/a
    n\a
    na
    na@na.com
    nan
    nil
    no email
    no phone
    no@no.com
    noemail@noemail.com
    none
    none@none.com
    not applicable
    not available
    null
    tba
    tbd
    test@test.com
    undefined
    unknown
    x
    –
    —
    """.splitlines()
    if line.strip()
)

# People are called Null, Nan and Na, and NA is Namibia.
NO_PLACEHOLDERS = {
    "first_name": frozenset({"na", "nan", "x"}),
    "last_name": frozenset({"na", "nan", "null", "none", "x"}),
    "country": frozenset({"na"}),
}

# Degrees and offices after a name, which are no part of it; and what parts a son from his father, which is.
POST_NOMINALS = frozenset(
    [
        "acca",
        "bsc",
        "cfa",
        "cfp",
        "cissp",
        "cpa",
        "dba",
        "dds",
        "dvm",
        "edd",
        "esq",
        "fca",
        "jd",
        "llb",
        "llm",
        "mba",
        "md",
        "msc",
        "pharmd",
        "phd",
        "pmp",
        "rn",
    ]
)
GENERATIONS = frozenset(["jr", "sr", "ii", "iii", "iv"])
SALUTATIONS = frozenset(
    [
        "dr",
        "fr",
        "frau",
        "herr",
        "hr",
        "m",
        "madam",
        "madame",
        "miss",
        "med",
        "mister",
        "mlle",
        "mme",
        "monsieur",
        "mr",
        "mrs",
        "ms",
        "mx",
        "prof",
        "señor",
        "señora",
        "sir",
        "sr",
        "sra",
        "srta",
    ]
)

# Pages of people and companies at hosts like these say nothing of the host.
SHARED_HOSTS = frozenset(
    [
        "angel.co",
        "bit.ly",
        "crunchbase.com",
        "docs.google.com",
        "drive.google.com",
        "facebook.com",
        "fb.com",
        "github.com",
        "glassdoor.com",
        "goo.gl",
        "google.com",
        "instagram.com",
        "linkedin.com",
        "linktr.ee",
        "lnkd.in",
        "medium.com",
        "pinterest.com",
        "reddit.com",
        "sites.google.com",
        "t.me",
        "tiktok.com",
        "twitter.com",
        "wa.me",
        "wellfound.com",
        "wikipedia.org",
        "x.com",
        "xing.com",
        "yelp.com",
        "youtube.com",
    ]
)

# Under whatever ending: yahoo.com.br, hotmail.de.
FREE_MAIL_NAMES = frozenset(
    ["gmail", "gmx", "googlemail", "hotmail", "outlook", "protonmail", "rocketmail", "yahoo", "yandex", "ymail"]
)

# All of the dbt project's seed `free_email_domains`, and more.
FREE_MAIL_HOSTS = frozenset(
    [
        "126.com",
        "163.com",
        "aol.com",
        "att.net",
        "bellsouth.net",
        "comcast.net",
        "fastmail.com",
        "free.fr",
        "gmail.com",
        "gmx.at",
        "gmx.com",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hey.com",
        "hotmail.co.uk",
        "hotmail.com",
        "hotmail.fr",
        "icloud.com",
        "laposte.net",
        "libero.it",
        "live.com",
        "mac.com",
        "mail.com",
        "mail.ru",
        "me.com",
        "msn.com",
        "orange.fr",
        "outlook.com",
        "proton.me",
        "protonmail.com",
        "qq.com",
        "sbcglobal.net",
        "t-online.de",
        "terra.com.br",
        "uol.com.br",
        "verizon.net",
        "wanadoo.fr",
        "web.de",
        "yahoo.co.uk",
        "yahoo.com",
        "yahoo.fr",
        "yandex.com",
        "yandex.ru",
        "ymail.com",
        "zoho.com",
    ]
)


_KINDS = {"first_name": "name", "last_name": "name", "company_name": "company", "name": "company"}


def read_placeholders(seed: Path) -> Mapping[str, frozenset[str]]:
    """Kind (any, name, company) → what a project's own seed holds of it; nothing where there is no such file."""
    if not seed.is_file():
        return {}
    with seed.open(encoding="utf-8-sig", newline="") as file:
        rows = [(row.get("kind") or "any", (row.get("value") or "").strip().casefold()) for row in csv.DictReader(file)]
    return {kind: frozenset(value for k, value in rows if k == kind) for kind, _ in rows}


def of_input(placeholders: Mapping[str, frozenset[str]], name: str) -> frozenset[str]:
    """What fills the place of an input or a field of this name."""
    return placeholders.get("any", frozenset()) | placeholders.get(_KINDS.get(name, ""), frozenset())
