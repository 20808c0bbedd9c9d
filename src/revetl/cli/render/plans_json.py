"""Plans as one JSON document: a list of plans, with the lines of each where they were asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from revetl.cli.options import as_json_text
from revetl.cli.output import echo_json
from revetl.cli.render.documents import plan_document

if TYPE_CHECKING:
    from revetl.usecases.plan import LineFilter, Planned


def emit_plans(plans: Planned, wanted: LineFilter) -> None:
    """On stdout. `rows` and `link_rows` of a plan are written one by one: there may be millions of them. A sync that
    could not be planned is an element too, of `sync` and `error`, after the plans."""
    from revetl.cli.failures import failure_of

    echo_json("[")
    for i, planned in enumerate(plans.syncs):
        document = as_json_text(plan_document(planned.summary))
        last = "" if i == len(plans.syncs) - 1 and not plans.errors else ","
        if not wanted.wanted:
            echo_json(document + last)
            continue
        echo_json(document.rstrip().removesuffix("}").rstrip() + ',\n  "rows": [', nl=False)
        _emit_each(planned.lines(wanted))
        echo_json('\n  ],\n  "link_rows": [', nl=False)
        _emit_each(planned.link_changes(wanted))
        echo_json("\n  ]\n}" + last)
    for i, (sync, error) in enumerate(plans.errors.items(), start=1):
        document = as_json_text({"sync": sync, **failure_of(error).document()})
        echo_json(document + ("," if i < len(plans.errors) else ""))
    echo_json("]")


def _emit_each(values: Iterable[object]) -> None:
    comma = ""
    for value in values:
        echo_json(f"{comma}\n    {as_json_text(value, indent=None)}", nl=False)
        comma = ","
