"""Whether a provider's answers are of any use: a pointer that is wrong must not spend the budget."""

from __future__ import annotations

from revetl.providers.base import Answer

# So many answers that were charged and held nothing, with none before them that held a value. A vendor of whose charged
# answers one in ten is of use is stopped by chance in one run of forty-four.
EMPTY_AT_MOST = 36


class UsableAnswers:
    """Of one provider in one run."""

    def __init__(self) -> None:
        self._empty = 0
        self._any_use = False

    def reason_to_stop(self, provider: str, answer: Answer) -> str | None:
        """Why nobody should ask on, after this answer too; None as long as there is no reason. What costs nothing is
        no reason."""
        self._any_use = self._any_use or bool(answer.values)
        self._empty += answer.empty_hit and answer.charged_usd > 0
        if self._any_use or self._empty < EMPTY_AT_MOST:
            return None
        return (
            f"{self._empty} answers were charged and none held a value where the provider's file looks for one; "
            f"`revetl provider test {provider}` plays its examples"
        )
