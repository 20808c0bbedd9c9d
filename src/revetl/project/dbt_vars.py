"""What an operator gives as `--vars`, read before dbt is asked."""

from __future__ import annotations

from typing import Any

import yaml

from revetl.errors import ConfigError


def read_vars(vars: str | None) -> dict[Any, Any]:
    """ConfigError where dbt could not read them: it would say so as a failure of its own, after half a minute."""
    hint = "As in --vars '{start_date: 2026-01-01}'."
    try:
        given = yaml.safe_load(vars or "{}")
    except (yaml.YAMLError, ValueError, RecursionError) as e:  # ValueError: of a date that there is not
        mark = getattr(e, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise ConfigError(f"--vars is not YAML{place}", hint=hint) from None
    if not isinstance(given, dict):
        raise ConfigError("--vars is not a YAML mapping", hint=hint)
    return given
