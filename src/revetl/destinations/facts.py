"""What a connector says of itself that its capabilities don't: for `docs/destinations.md`, which is generated.

A connector may have `FACTS` beside `Options` and `connect`. Without it the page names it and says nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# How often a record stands there after a lost answer or a crash, whatever a run does then.
#   exactly once      the destination itself tells what was applied
#   once, repeated    sent again, which changes nothing
#   once, looked for  looked for there before it is sent again
#   at most once      never sent again until a person has looked
Guarantee = Literal["exactly once", "once, repeated", "once, looked for", "at most once"]


@dataclass(frozen=True, slots=True)
class ConnectorForm:
    """One way to use a connector. Its capabilities are read from what `connect` gives for `options`, which need only
    be valid: nothing is opened. `object`: one that its limits are asked for. `guarantees`: endpoint → how often.
    `events`: of an object whose records are only added."""

    name: str
    options: Mapping[str, Any] = field(repr=False)
    guarantees: Mapping[str, Guarantee]
    object: str = "contacts"
    events: bool = False


@dataclass(frozen=True, slots=True)
class ConnectorFacts:
    """`title` as the vendor writes it. `says`: what it is for, in a line. `guide` and `design` are files of `docs/`;
    what is not confirmed of the vendor stands in `design`, in the section `assumed`, a row of a table for each.
    `pace`: how fast it is written, where the connector does not say."""

    title: str
    says: str
    guide: str
    design: str
    forms: tuple[ConnectorForm, ...]
    assumed: str | None = None
    pace: str | None = None
