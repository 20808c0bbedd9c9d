"""Whether an answer is about whom was asked: what the vendor says of itself is compared with the question."""

from __future__ import annotations

from typing import Literal

from revetl.providers.grammar.model import GrammarModel, Pointers

# How two texts are compared.
#   person       a name: the family names share a word, the given ones agree or one begins the other
#   family_name  the same, without the given names: for vendors that answer with nicknames
#   company      a name without its legal form, punctuation and letter case
#   domain       the host, without www. and what stands before or after it
#   text         letter case and outer blanks apart, the same
Comparison = Literal["person", "family_name", "company", "domain", "text"]


class AboutCheck(GrammarModel):
    """`asked`, a template, is compared with the first of `at` that holds text. Where they differ the answer is about
    somebody else: a miss, charged like the hit that the vendor takes it for. Where either says nothing there is nothing
    to compare. `compare`: a person's or a company's name, a domain, or plain text."""

    asked: str
    at: Pointers
    compare: Comparison
