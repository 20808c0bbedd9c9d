"""Whether an address takes mail, as the mail server at the other end would have it."""

from __future__ import annotations

import re

from revetl.sandbox.data_vendors.knowledge import Knowledge
from revetl.sandbox.data_vendors.truth import World, email_key

_SYNTAX = re.compile(r"[^@\s;,]+@[^@\s;,]+\.[^@\s;,.]{2,}")
_ROLE_WORDS = "info sales support admin contact hello office billing accounts team help marketing hr jobs noreply"
_ROLES = frozenset(_ROLE_WORDS.split())
FREE_MAIL = frozenset(("gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "icloud.com", "proton.me"))
# ZeroBounce's own addresses for tests, which always get the same verdict. It charges nothing for them.
TEST_ADDRESSES = {
    "valid@example.com": ("valid", ""),
    "invalid@example.com": ("invalid", "mailbox_not_found"),
    "disposable@example.com": ("do_not_mail", "disposable"),
    "role_based@example.com": ("do_not_mail", "role_based"),
    "toxic@example.com": ("do_not_mail", "toxic"),
    "donotmail@example.com": ("do_not_mail", "role_based"),
    "spamtrap@example.com": ("spamtrap", ""),
    "abuse@example.com": ("abuse", ""),
    "unknown@example.com": ("unknown", "mail_server_temporary_error"),
    "catch_all@example.com": ("catch-all", ""),
    "timeout_exceeded@example.com": ("unknown", "timeout_exceeded"),
    "greylisted@example.com": ("unknown", "greylisted"),
}


def judge(world: World, knowledge: Knowledge, email: str) -> tuple[str, str]:
    """Status and sub-status in ZeroBounce's words; other verifiers translate them."""
    address = email.strip().lower()
    if address in TEST_ADDRESSES:
        return TEST_ADDRESSES[address]
    if not _SYNTAX.fullmatch(address):
        return "invalid", "failed_syntax_check"
    local, _, domain = address.partition("@")
    if domain not in world.company_by_domain and domain not in FREE_MAIL and email_key(address) not in world.by_email:
        return "invalid", "no_dns_entries"
    if local in _ROLES:
        return "do_not_mail", "role_based"
    if domain not in FREE_MAIL and knowledge.catch_all(domain):
        return "catch-all", ""
    return ("valid", "") if email_key(address) in world.by_email else ("invalid", "mailbox_not_found")
