"""What holds between the values of one record: addresses, stages and what moves forward only.

`values` are those about to be written, each already one for its property; they are changed in place where HubSpot
changes them. `standing` are those of the record; None for a new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from revetl.sandbox.hubspot.errors import property_problem

_EMAIL = re.compile(r"[^@\s;,]+@[^@\s;,]+\.[^@\s;,.]{2,}")


def email_problems(values: dict[str, str]) -> list[dict[str, Any]]:
    """`email` takes one address, `hs_additional_emails` any number, joined by a semicolon (docs). In lower case."""
    problems = []
    for name in ("email", "hs_additional_emails"):
        value = values.get(name)
        if not value:
            continue
        value = values[name] = value.strip().lower()
        for address in [value] if name == "email" else value.split(";"):
            if not _EMAIL.fullmatch(address):
                problems.append(property_problem(name, "INVALID_EMAIL", f"Email address {address} is invalid"))
    return problems


def stage_problems(
    properties: tuple[str, str],
    stages: Mapping[str, frozenset[str]],
    values: dict[str, str],
    standing: Mapping[str, str] | None,
) -> list[dict[str, Any]]:
    """`properties` hold the pipeline and the stage; `stages` by pipeline. A new record goes into the first pipeline
    where it names none (docs). That a stage must be one of the record's own pipeline is unconfirmed."""
    of_pipeline, of_stage = properties
    stage = values.get(of_stage)
    if not stage:
        return []
    pipeline = values.get(of_pipeline) or (standing or {}).get(of_pipeline) or next(iter(stages))
    if stage not in stages.get(pipeline, ()):
        message = f"{stage} is not a stage of the pipeline {pipeline}"
        return [property_problem(of_stage, "INVALID_OPTION", message)]
    if standing is None:
        values.setdefault(of_pipeline, pipeline)
    return []


def hold_back_lifecycle(stages: Sequence[str], values: dict[str, str], standing: Mapping[str, str] | None) -> None:
    """`stages` in their order. One moves forward only, unless it was cleared (docs). A step back is taken as no change
    (assumed)."""
    wanted, current = values.get("lifecyclestage"), (standing or {}).get("lifecyclestage")
    if wanted and current in stages and stages.index(wanted) < stages.index(current):
        del values["lifecyclestage"]
