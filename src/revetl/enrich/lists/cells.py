"""What a cell of a list says, in one form, before it is asked, hashed or sent.

Two spellings of one profile, address or number are one question. A cell that says nothing (`N/A`, `#REF!`,
`0000000000`) is blank: it is not sent, and the field that it stands in is lacking. Nothing is guessed: a
number without a country stays as it was typed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from functools import cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from revetl.enrich.lists.countries import country_code
from revetl.enrich.lists.words import (
    FREE_MAIL_HOSTS,
    FREE_MAIL_NAMES,
    GENERATIONS,
    NO_PLACEHOLDERS,
    PLACEHOLDERS,
    POST_NOMINALS,
    SALUTATIONS,
    SHARED_HOSTS,
)

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

EntityKind = Literal["person", "company"]

# Zero width: joiners and marks that a copy from a web page brings along.
_NO_WIDTH = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# It begins where nothing of an address stands before it, and has the lengths of one, so that the search of a long cell
# takes time in proportion to it.
_ADDRESS = re.compile(
    r"(?<![^\s@<>()\[\],;:\"|])[^\s@<>()\[\],;:\"|]{1,64}@"
    r"(?:[^\s@<>()\[\],;:\"|./]{1,63}\.){1,10}[^\s@<>()\[\],;:\"|./\d]{2,63}",
    re.UNICODE,
)
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_IN_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
# pandas and spreadsheets make a decimal of a number in a column with blanks.
_WHOLE_FLOAT = re.compile(r"('?\+?\d+)\.0")
_BETWEEN_NUMBERS = re.compile(r"[;,|/]|\s(?:or|oder|ou|o|y|et|e|und|and)\s", re.IGNORECASE)
_LEAST_DIGITS = 6  # of one number among several
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?\.)+(?:[a-z]{2,}|xn--[a-z0-9-]+)")
_PROFILE = re.compile(
    r"(?:(?:https?:)?(?://)?(?:[\w-]+\.)*linkedin\.com)?/(in|company|school|showcase)/([^/?#\s]+)", re.IGNORECASE
)
_DOCUMENTATION = ("example.com", "example.net", "example.org")
_PAGES: dict[EntityKind, tuple[str, ...]] = {"person": ("in",), "company": ("company", "school", "showcase")}


def plain(cell: object) -> str | None:
    """One Unicode form (NFC), one blank where there are several of whatever kind; None where nothing is left."""
    if cell is None or cell != cell:  # NaN
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        cell = int(cell)  # a whole number that a missing neighbour made a float
    text = unicodedata.normalize("NFC", _NO_WIDTH.sub("", str(cell)))
    return " ".join(text.split()) or None


def is_placeholder(name: str, text: str, more: Collection[str] = ()) -> bool:
    """Whether a cell that should hold `name` (an input or a field) only fills a place. `more`: words that do, beside
    those that everybody writes."""
    word = text.casefold()
    if word in NO_PLACEHOLDERS.get(name, ()):
        return False
    return word in PLACEHOLDERS or word in more or (name == "job_title" and word.rstrip(".") in SALUTATIONS)


def canonical(
    name: str,
    cell: object,
    *,
    country: str | None = None,
    kind: EntityKind | None = None,
    placeholders: Collection[str] = (),
) -> str | None:
    """The cell as `name` in its one form; None where it says nothing that could be asked.

    `country`: the row's own, by name or code, for a national number.
    `kind`: whose profile a LinkedIn address must be; None: anybody's.
    `placeholders`: more words that only fill its place.
    """
    text = plain(cell)
    if text is None or is_placeholder(name, text, placeholders):
        return None
    if name == "linkedin_url":
        return _linkedin(text, kind)
    if name == "phone":
        return _phone(text, country)
    reader = _READERS.get(name)
    return text if reader is None else reader(text)


def split_name(cell: object) -> tuple[str | None, str | None]:
    """(first, last) of a full name: `Ada King`, `King, Ada`, `Dr. Ada King`, `Ada King, PhD`, `Ada King (she/her)`. One
    word is a last name."""
    text = plain(cell)
    if text is None or is_placeholder("name", text):
        return None, None
    text = _IN_BRACKETS.sub("", text)
    parts = [part for part in map(str.strip, text.split(",")) if part and not _is_post_nominal(part)]
    before, after = "".join(parts[:1]), parts[1:]
    first = [part for part in after if _bare(part) not in GENERATIONS]
    whole = " ".join([before, *(part for part in after if part not in first)])
    if first:
        return plain(" ".join(first)), plain(whole)
    words = [word for word in whole.split() if any(map(str.isalnum, word))]
    while len(words) > 1 and _bare(words[0]) in SALUTATIONS:
        words.pop(0)
    while len(words) > 2 and _is_post_nominal(words[-1]):
        words.pop()
    return (" ".join(words[:1]) if len(words) > 1 else None), " ".join(words[1:] or words) or None


def _bare(word: str) -> str:
    return word.casefold().replace(".", "").strip()


def _is_post_nominal(text: str) -> bool:
    return all(_bare(word) in POST_NOMINALS for word in text.split())


def holds_profile_of_person(cell: object) -> bool:
    return _linkedin(plain(cell) or "", "person") is not None


def _email(text: str) -> str | None:
    """The first address of the cell: out of `Name <a@b>`, of `mailto:`, of several."""
    found = _ADDRESS.search(re.sub(r"(?i)mailto:", " ", text))
    address = None if found is None else found[0].strip("'.").lower()
    return None if address is None or address in PLACEHOLDERS else address


def _domain(text: str) -> str | None:
    """`https://blog.acme.co.uk/about` → `acme.co.uk`: what was registered, by the public suffix list. None for a host
    that many share: it is nobody's own."""
    address = None if "://" in text else _ADDRESS.search(text)
    text = text if address is None else address[0]
    first = re.split(r"[;,|\s]", text.lower(), maxsplit=1)[0]
    host = re.sub(r"^(?:[a-z][a-z0-9+.-]*:)?/*", "", first) if re.match(r"[a-z]+:|/", first) else first
    host = re.split(r"[/?#]", host, maxsplit=1)[0].rpartition("@")[2].partition(":")[0].strip(".")
    try:
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        return None
    if _HOST.fullmatch(host) is None:
        return None
    parents = [host.split(".", n)[-1] for n in range(host.count(".") + 1)]
    if any(parent in SHARED_HOSTS for parent in parents):
        return None
    own = registered_domain(host)
    return None if own is None or is_free_mail(own) else own


def registered_domain(host: str) -> str | None:
    """What somebody registered of a host in lower case; None where all of it is a public suffix (`co.uk`, `github.io`).
    Below the domains for documentation (RFC 2606) stand the companies of examples."""
    own = _suffixes().privatesuffix(host)
    if own in _DOCUMENTATION and host != own:
        return ".".join(host.split(".")[-3:])
    return own


def is_free_mail(domain: str) -> bool:
    return domain in FREE_MAIL_HOSTS or domain.partition(".")[0] in FREE_MAIL_NAMES


@cache
def _suffixes() -> PublicSuffixList:
    """The list that the library brings along; nothing is fetched."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def _linkedin(text: str, kind: EntityKind | None) -> str | None:
    """One spelling of a profile. `/pub` and `/sales` addresses are none: what they lead to is not told by them."""
    found = _PROFILE.match(unquote(text))
    if found is None or (kind is not None and found[1].lower() not in _PAGES[kind]):
        return None
    return f"https://www.linkedin.com/{found[1].lower()}/{unicodedata.normalize('NFC', found[2]).lower()}"


def _phone(text: str, country: str | None) -> str | None:
    """E.164 where the number says its country or the row does; else as it was typed. An extension is dropped. Of
    several numbers the first that is one. None for what is no number of its row's country."""
    whole = _WHOLE_FLOAT.fullmatch(text)
    text = text if whole is None else whole[1]
    digits = re.sub(r"\D", "", text)
    if not digits or _SCIENTIFIC.fullmatch(text) or (len(set(digits)) == 1 and digits[0] == "0"):
        return None
    region = None if country is None else country_code(country)
    typed = text.lstrip("'").removeprefix("tel:").strip()
    # First all of it: people write a slash inside of one number, too.
    several = [piece for piece in _BETWEEN_NUMBERS.split(typed) if len(re.sub(r"\D", "", piece)) >= _LEAST_DIGITS]
    found = next(filter(None, (_e164(each, region) for each in (typed, *several))), None)
    return found if found is not None or region is not None else re.sub(r"^00(?=[1-9])", "+", typed)


def _e164(typed: str, region: str | None) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(re.sub(r"^00(?=[1-9])", "+", typed.strip()), region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_READERS: dict[str, Callable[[str], str | None]] = {"email": _email, "company_domain": _domain, "domain": _domain}
