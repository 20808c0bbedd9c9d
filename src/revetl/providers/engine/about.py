"""Whether an answer is about whom was asked. Pure.

Names are compared generously, since a value about the right person that is thrown away was paid for too. What counts
as different is a family name without a word in common, given names neither of which begins the other, a company's name
with other words, another domain.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from revetl.providers.engine.json_data import value_at
from revetl.providers.grammar import AboutCheck, Comparison, fill

# The word for it in `Answer.error_code`.
SOMEBODY_ELSE = "about_somebody_else"

# Words of a legal form, by which a register and everybody else call one company by two names.
_LEGAL_FORMS = frozenset(
    word
    for words in (
        "ab ag aps as asa bv co company corp corporation cv gmbh inc incorporated kft kg limited llc llp lp ltd ltda",
        "mbh nv oy oyj plc pte pty pvt sa sarl sas se sl slu spa spzoo srl sro the",
    )
    for word in words.split()
)
_LETTERS = {"ß": "ss", "æ": "ae", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "œ": "oe", "ı": "i"}


def is_about(checks: Sequence[AboutCheck], inputs: Mapping[str, str], body: Any) -> bool:
    """False where a check finds another name than was asked about. `inputs` may be empty, as of a job that an earlier
    run submitted: then there is nothing to compare."""
    return all(_agrees(check, inputs, body) for check in checks)


def _agrees(check: AboutCheck, inputs: Mapping[str, str], body: Any) -> bool:
    asked = fill(check.asked, inputs)
    said = next((v for p in check.at if isinstance(v := value_at(body, p), str) and v.strip()), None)
    return asked is None or said is None or _COMPARISONS[check.compare](asked, said)


def _person(asked: str, said: str) -> bool:
    one, other = _words(asked), _words(said)
    if _incomparable(one, other):
        return True
    return _family_name(asked, said) and (
        len(one) == 1 or len(other) == 1 or _begins(one[0], other) or _begins(other[0], one)
    )


def _family_name(asked: str, said: str) -> bool:
    one, other = _words(asked), _words(said)
    # The order of the names is not the same everywhere, and a second family name may be left out.
    return _incomparable(one, other) or bool({*(one[1:] or one)} & {*other})


def _begins(name: str, names: Sequence[str]) -> bool:
    return any(name.startswith(n) or n.startswith(name) for n in names)


def _company(asked: str, said: str) -> bool:
    one, other = _company_words(asked), _company_words(said)
    return _incomparable(one, other) or one == other or "".join(one) == "".join(other)


def _incomparable(one: Sequence[str], other: Sequence[str]) -> bool:
    """Nothing can be told where either has no words, or only one of them is in Latin letters."""
    return not one or not other or _is_latin(one) is not _is_latin(other)


def _is_latin(words: Sequence[str]) -> bool:
    return any("a" <= letter <= "z" for word in words for letter in word)


def _company_words(name: str) -> list[str]:
    words = _words(re.sub(r"(?<=\b\w)\.(?=\w\b)", "", name))  # S.A. is SA
    return [word for word in words if word not in _LEGAL_FORMS] or words


def _domain(asked: str, said: str) -> bool:
    return _host(asked) == _host(said)


def _host(text: str) -> str:
    bare = re.sub(r"^[a-z][a-z0-9+.-]*://", "", text.strip().casefold())
    return re.split(r"[/?#:]", bare, maxsplit=1)[0].removeprefix("www.").rstrip(".")


def _text(asked: str, said: str) -> bool:
    return asked.strip().casefold() == said.strip().casefold()


def _words(text: str) -> list[str]:
    """Without case, accents and punctuation."""
    plain = unicodedata.normalize("NFKD", "".join(_LETTERS.get(c, c) for c in text.casefold()))
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    return [word for word in re.split(r"[^\w]+|_+", kept.replace("'", "").replace("’", "")) if word]


_COMPARISONS: Mapping[Comparison, Callable[[str, str], bool]] = {
    "person": _person,
    "family_name": _family_name,
    "company": _company,
    "domain": _domain,
    "text": _text,
}
