"""A company's domain in one spelling: what a person, a website field or a loader wrote, as the bare host.

HubSpot names a company by the host (`acme.example`), models hold addresses. Scheme, user, port, path, query, a leading
`www.`, a trailing dot and case say nothing of which company it is; names in other scripts are compared in their form
of the DNS (IDNA, so `BÜCHER.example` is `xn--bcher-kva.example`).
"""

from __future__ import annotations

import re
from functools import lru_cache

# Looked up by search and compared as hosts; of the second several stand in one value, joined by `;`.
DOMAINS = frozenset({"domain", "hs_additional_domains"})
_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_PORT = re.compile(r":\d*$")


@lru_cache(maxsize=4_096)  # a plan compares each value a few times
def host(text: str) -> str:
    """The bare host, as it is compared. What names no host (no dot, a blank, an address of a person) stays as it is,
    without case and outer blanks: it equals only itself."""
    folded = text.strip().lower()
    name = bare(text).lower()
    if "." not in name or "@" in name or re.search(r"\s", name):
        return folded
    if name.isascii():
        return name
    # Slow to load, and most domains are plain ASCII.
    import idna

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError:
        return folded


def bare(text: str) -> str:
    """The host in the spelling in which it was given: what is sent, so that a search for the domain finds it."""
    stripped = text.strip()
    name = re.split(r"[/?#\\]", _SCHEME.sub("", stripped), maxsplit=1)[0]
    if name != stripped:
        name = name.rpartition("@")[2]
    name = _PORT.sub("", name).rstrip(".")
    # `www.com` is a host of its own.
    if name[:4].lower() == "www." and "." in name[4:]:
        name = name[4:]
    return name if "." in name else stripped


def spellings(form: str) -> list[str]:
    """In which a host of this form may stand at the vendor, to search for it: search compares text, not hosts."""
    found = [form, f"www.{form}"] if "." in form else [form]
    if "xn--" in form:
        import idna  # as above

        try:
            found.append(idna.decode(form))
        except idna.IDNAError:
            return found
    return found
