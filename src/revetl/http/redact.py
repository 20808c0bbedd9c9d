"""What may be logged: nothing that a person gave us in confidence, nothing that names a customer."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"
_EMAIL = re.compile(r"[\w.%+'-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+")
_CREDENTIAL = re.compile(
    r"(?i)\b(authorization|x-api-key|api[_-]?key|access[_-]?token|refresh[_-]?token|client[_-]?secret|password|token)"
    r"(\"?\s*[=:]\s*\"?)(?:(?:bearer|basic)\s+)?[^\s\"&,;]+"
)
_TOKEN = re.compile(r"(?i)\bbearer\s+\S+|\bpat-[\w-]{6,}")


class Redactor:
    """Masks the secrets that it is given, and what looks like a credential or an email address."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._secrets: re.Pattern[str] | None = None
        self._learn(secrets)

    def learn(self, secret: str) -> None:
        """Masks this one too from now on: a token that was fetched while running."""
        self._learn([secret])

    def _learn(self, secrets: Iterable[str]) -> None:
        self._known |= {s for s in secrets if len(s) >= 4}
        # The longest first: one secret may be the beginning of another.
        longest_first = sorted(self._known, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        if self._secrets:
            text = self._secrets.sub(MASK, text)
        text = _CREDENTIAL.sub(rf"\1\2{MASK}", text)
        text = _TOKEN.sub(MASK, text)
        return _EMAIL.sub(MASK, text)
