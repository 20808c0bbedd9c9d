"""How a call in doubt ended, as a person says (`execution/in_doubt.py`)."""

from __future__ import annotations

from typing import Literal

Resolution = Literal["charged", "not_charged", "ask_again"]
RESOLUTIONS: tuple[Resolution, ...] = ("charged", "not_charged", "ask_again")
