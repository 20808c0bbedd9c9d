"""The emails and profiles that any text names, in every spelling that means the same.

The list of erased people holds keyed hashes, so a text can't be searched for them: what the text names is taken out of
it, in the one form that is hashed. Naming too many is harmless, since only what was erased is found among them; naming
too few sends somebody who was erased.

What is the same address or profile to us (docs/guides/forget-a-person.md promises it):
- letter case, blanks around it or its @, wide letters and signs (Unicode NFKC), characters that are not seen;
- percent, form (`+` for a blank), JSON (`\\u0040`) and HTML (`&#64;`) forms, also one within another;
- `mailto:`, a name before it, its local part in quotes, comments and brackets, words and signs on either side;
- the domain in Unicode and in ASCII (IDNA 2008, in which ß is a letter of its own);
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
from urllib.parse import unquote, unquote_plus

# Characters that are not seen and that a copy from a page brings along.
UNSEEN = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u3164\ufe0e\ufe0f\ufeff\uffa0"
)
# As many again that are hardly ever met: variation selectors, tags, shorthand controls, musical marks.
_UNSEEN = re.compile(
    f"[{UNSEEN}\u180b-\u180f\u2065\u206a-\u206f\ufe00-\ufe0f\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# What a text holds, in lower case, if anything can be found in it: this is asked of the warehouse.
MARKS = ("@", "＠", "﹫", "%", "％", "﹪", "&", "＆", "﹠", "\\u", "＼u", "﹨u", "linkedin", *UNSEEN)
_NESTED = 4  # times that one form may stand within another
_MOST_FORMS = 64

# Local part and domain as loose as mail servers take them; then what else they may be read as. Both are looked for
# around an @ and no further than an address is long, so that the work grows with the text and not with its square.
_LOCAL_END = re.compile(r"[^\s@<>()\[\],;:\"\\]+\Z")
_DOMAIN_START = re.compile(r"[^\W_](?:[\w.-]*[^\W_])?")
# Signs that may stand in an address and hardly ever do: an address may begin behind each.
_BREAKS = re.compile(r"[!#$%&'*/=?^`{|}~]")
_ASCII_END = re.compile(r"[A-Za-z0-9._+-]+\Z")
_ASCII_START = re.compile(r"[A-Za-z0-9.-]*[A-Za-z0-9]")
# A sentence that follows without a blank: `ada@acme.com.Then`. Small letters are more domain: `ada@acme.co.uk`.
_SENTENCE = re.compile(r"(?<=[a-z0-9])(?:\.(?=[A-Z][a-z])|-?(?=[A-Z]))")
# What may stand in an address by its grammar and is no part of its name: blanks around the @, comments, quotes.
_AROUND_AT = re.compile(r"(?<!\s)(?:\s++|\([^()@]*+\)){0,16}+@(?:\s++|\([^()@]*+\)){0,16}+")
_QUOTED = re.compile(r"\"([^\"\s@]+)\"(?=@)")
_LONGEST = 320  # characters of an address
_PROFILE = re.compile(r"linkedin\.com/[^\s<>\"'`|\\^{}\[\]]+")
_JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\([/\"\\bfnrt])")


def emails_in(text: str) -> set[str]:
    """Every address that it may name: itself, and without its tag. Folded, the domain in Unicode and in ASCII."""
    found = {address.lower() for each in _forms(text) if "@" in each for address in _addresses(each)}
    found |= {address.casefold() for address in found}  # as an earlier version wrote who was erased
    return {form for address in found for form in spellings(address)}


def same_address(address: str) -> set[str]:
    """What is written as an address and names one, in the forms in which a text would name it; its tag is part of it.
    Nothing where it names several: who of them is meant is not known."""
    text = _folded(html.unescape(unquote(address))).lower()
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
    if domain.isascii() and "xn--" not in domain:
        return {domain}
    import idna  # slow to load, and most domains are plain ASCII

    found = {domain}
    try:
        found.add(idna.encode(domain, uts46=True).decode())
        found.add(idna.decode(domain, uts46=True))
    except (idna.IDNAError, UnicodeError):
        pass  # no host that could be looked up
    return found


def _forms(text: str) -> set[str]:
    """The text, and what it reads as once its escapes are undone, in any order. Letters in their case."""
    found: set[str] = set()
    waiting = [(_folded(text), 0)]
    if _UNSEEN.search(text):  # what is not seen may part two words as well
        waiting.append((_folded(_UNSEEN.sub(" ", text)), 0))
    if len(text) <= _LONGEST:  # a cell that is an address, with blanks in it
        waiting.append((_folded("".join(text.split())), 0))
    while waiting and len(found) < _MOST_FORMS:
        form, depth = waiting.pop()
        if form in found:
            continue
        found.add(form)
        if depth < _NESTED:
            waiting += [(_folded(undo(form)), depth + 1) for undo in _UNDO]
    return found


def _folded(text: str) -> str:
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", text)).replace("\u3002", ".")  # a full stop in hosts (UTS 46)
    return _QUOTED.sub(r"\1", _AROUND_AT.sub("@", plain)) if "@" in plain else plain


def _json_text(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else found[2] if found[2] in '/"\\' else " "

    return _JSON_ESCAPE.sub(one, text)


_UNDO: tuple[Callable[[str], str], ...] = (unquote, unquote_plus, html.unescape, _json_text)


def _addresses(text: str) -> Iterator[str]:
    behind_last = 0  # an address may begin where another ended
    for at in re.finditer("@", text):
        first = max(0, at.start() - _LONGEST)
        run = _LOCAL_END.search(text[first : at.start()])
        domain = _DOMAIN_START.match(text[at.end() : at.end() + _LONGEST])
        if not run or not domain:
            continue
        runs = {run[0]}
        if first + run.start() < behind_last < at.start():
            runs.add(text[behind_last : at.start()])
        behind_last = max(behind_last, at.end() + domain.end())
        for local in sorted({local for each in runs for local in _locals(each)}):
            for host in _domains(domain[0]):
                yield f"{local}@{host}"


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
    yield from (run[: end.start()] for end in _SENTENCE.finditer(run))
    if ascii_start := _ASCII_START.match(run):
        yield ascii_start[0]


def _profiles(text: str) -> Iterator[str]:
    for found in _PROFILE.finditer(text):
        path = re.split(r"[?#]", found[0], maxsplit=1)[0]
        for end in (path, path.rstrip("/.,;:!)*_")):
            yield end.rstrip("/")
            yield "/".join(end.split("/")[:3])
