"""The emails and profiles that any text names, in every spelling that means the same.

The list of erased people holds keyed hashes, so a text can't be searched for them: what the text names is taken out of
it, in the one form that is hashed. Naming too many is harmless, since only what was erased is found among them; naming
too few sends somebody who was erased.

What is the same address or profile to us (docs/guides/forget-a-person.md promises it):
- letter case, blanks around it, wide letters and signs (Unicode NFKC), characters that are not seen;
- percent, JSON (`\\u0040`) and HTML (`&#64;`) forms, also one within another;
- `mailto:`, a name before it in quotes, brackets around it, words and signs on either side;
- the domain in Unicode and in ASCII (IDN);
- an address with a tag, `ada+news@…`, means `ada@…` as well; the other way round it does not: `info+ada@…` is hers, and
  `info@…` is not;
- a profile with any scheme, country, `www.`, query, language or page below it.
Dots in an address are not left out: that they don't count is a rule of one vendor, and elsewhere they part two people.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import unquote

# Characters that are not seen and that a copy from a page brings along.
UNSEEN = (
    "\xad\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
# What a text holds, in lower case, if anything can be found in it: this is asked of the warehouse.
MARKS = ("@", "＠", "﹫", "%", "&#", "&commat", "\\u00", "linkedin", *UNSEEN)
_DROP = dict.fromkeys(map(ord, UNSEEN))
_NESTED = 4  # times that one form may stand within another
_MOST_FORMS = 64

# Local part and domain as loose as mail servers take them; then what else they may be read as.
_ADDRESS = re.compile(r"([^\s@<>()\[\],;:\"\\]+)@([^\W_](?:[\w.-]*[^\W_])?)")
# Signs that may stand in an address and hardly ever do: an address may begin behind each.
_BREAKS = re.compile(r"[!#$%&'*/=?^`{|}~]")
_ASCII_END = re.compile(r"[A-Za-z0-9._+-]+\Z")
_ASCII_START = re.compile(r"[A-Za-z0-9.-]*[A-Za-z0-9]")
# A sentence that follows without a blank: `ada@acme.com.Then`. Small letters are more domain: `ada@acme.co.uk`.
_SENTENCE = re.compile(r"(?<=[a-z0-9])\.(?=[A-Z][a-z])")
_PROFILE = re.compile(r"linkedin\.com/[^\s<>\"'`|\\^{}\[\]]+")
_JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\([/\"\\bfnrt])")


def emails_in(text: str) -> set[str]:
    """Every address that it may name: itself, and without its tag. Folded, the domain in Unicode and in ASCII."""
    found = {address.casefold() for each in _forms(text) if "@" in each for address in _addresses(each)}
    return {form for address in found for form in spellings(address)}


def same_address(address: str) -> set[str]:
    """What is written as an address and names one, in the forms in which a text would name it; its tag is part of it.
    Nothing where it names several: who of them is meant is not known."""
    text = _folded(html.unescape(unquote(address))).casefold()
    if text.count("@") != 1:
        return set()
    halves = (address.rpartition("@") for address in _addresses(text))
    return {f"{local}@{host}" for local, _, domain in halves for host in _hosts(domain)}


def profiles_in(text: str) -> set[str]:
    """Every LinkedIn profile that it may name: `linkedin.com/in/ada`, percent forms undone."""
    return {found for each in {form.casefold() for form in _forms(text)} for found in _profiles(each)}


def spellings(address: str) -> set[str]:
    """One address as it stands, without its tag, and with its domain in Unicode and in ASCII."""
    local, at, domain = address.rpartition("@")
    if not at:
        return {address}
    bare = local.partition("+")[0] or local
    return {f"{name}@{host}" for name in (local, bare) for host in _hosts(domain)}


def _hosts(domain: str) -> set[str]:
    found = {domain}
    try:
        found.add(domain.encode("idna").decode().casefold())
        found.add(domain.encode("ascii").decode("idna").casefold())
    except UnicodeError:
        pass  # it is in Unicode, or no host that could be looked up
    return found


def _forms(text: str) -> set[str]:
    """The text, and what it reads as once its escapes are undone, in any order. Letters in their case."""
    found: set[str] = set()
    waiting = [(_folded(text), 0)]
    while waiting and len(found) < _MOST_FORMS:
        form, depth = waiting.pop()
        if form in found:
            continue
        found.add(form)
        if depth < _NESTED:
            waiting += [(_folded(undo(form)), depth + 1) for undo in _UNDO]
    return found


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_DROP)


def _json_text(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else found[2] if found[2] in '/"\\' else " "

    return _JSON_ESCAPE.sub(one, text)


_UNDO: tuple[Callable[[str], str], ...] = (unquote, html.unescape, _json_text)


def _addresses(text: str) -> Iterator[str]:
    for found in _ADDRESS.finditer(text):
        for local in _locals(found[1]):
            for domain in _domains(found[2]):
                yield f"{local}@{domain}"


def _locals(run: str) -> Iterator[str]:
    """What may be the local part of what stands before the @: it may begin behind any sign."""
    for start in (0, *(sign.end() for sign in _BREAKS.finditer(run))):
        if local := run[start:].strip(".-"):
            yield local
            yield local.lstrip("_")
    if (ascii_end := _ASCII_END.search(run)) and (local := ascii_end[0].strip(".-")):
        yield local


def _domains(run: str) -> Iterator[str]:
    """What may be the domain of what stands behind the @."""
    yield run
    yield _SENTENCE.split(run, maxsplit=1)[0]
    if ascii_start := _ASCII_START.match(run):
        yield ascii_start[0]


def _profiles(text: str) -> Iterator[str]:
    for found in _PROFILE.finditer(text):
        path = re.split(r"[?#]", found[0], maxsplit=1)[0]
        for end in (path, path.rstrip("/.,;:!)*_")):
            yield end.rstrip("/")
            yield "/".join(end.split("/")[:3])
