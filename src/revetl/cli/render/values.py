"""What providers gave for one record: per field the value that it was given, and the others with the reason why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from revetl.safe_text import for_markup
from revetl.usecases.explain import UNDECIDED, WON

if TYPE_CHECKING:
    from rich.console import Console

# What `reason` says, for people.
_WORDS: Mapping[str, str] = {
    WON: "given to the record",
    "agrees": "says the same as the best",
    "provider_rank": "a provider of better rank said otherwise",
    "less_trusted": "another value is trusted more",
    "first_party": "the record's own value stands",
    "same_as_first_party": "the record holds it already",
    "other_place": "belongs to another country or city than the record's",
    "superseded": "this provider gave a newer one",
    "expired": "too old",
    "low_confidence": "not sure enough",
    "invalid": "found false",
    "catch_all": "its server takes any address: not proved",
    "unknown": "its verifier could not tell",
    "not_verified": "nobody verified it",
    "not_wanted": "the waterfall did not ask for it",
    "not_trusted": "the policy gives this provider no weight",
    "no_number": "not a number",
    UNDECIDED: "newer than the models: `revetl build` decides",
}


# What `lost_by` says, for people.
_LOST: Mapping[str, str] = {
    "pinned": "a steward said otherwise",
    "verification": "the other is verified",
    "completeness": "the other is more complete",
    "agreement": "more records agree on the other",
    "priority": "the other's source goes before",
    "recency": "the other is newer",
    "order": "nothing tells them apart but the order of keys",
}


def show_offered(screen: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Per field what survived and what it beat, with how many records say it and the best of them."""
    field = None
    for row in rows:
        if row["field"] != field:
            field = row["field"]
            _line(screen, 2, f"[bold]{for_markup(str(field))}[/]")
        mark, style = ("[green]✓[/]", "bold") if row["lost_by"] is None else ("·", "dim")
        _line(screen, 4, f"{mark} [{style}]{for_markup(str(row['value']))}[/]")
        lost = "" if row["lost_by"] is None else f"{_LOST.get(row['lost_by'], row['lost_by'])}; "
        n = int(row["n_records"])
        others = f" and {n - 1:,} more" if n > 1 else ""
        _line(screen, 6, for_markup(f"{lost}{row['record_key']}{others}"))


def show_values(screen: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Two lines per value, within the width of the screen."""

    field = None
    for row in rows:
        if row["field"] != field:
            field = row["field"]
            own = f"  (the record's own: {row['own_value']})" if row["own_value"] is not None else ""
            _line(screen, 2, f"[bold]{for_markup(str(field))}[/]{for_markup(own)}")
        mark, style = ("[green]✓[/]", "bold") if row["reason"] == WON else ("·", "dim")
        _line(screen, 4, f"{mark} [{style}]{for_markup(str(row['value']))}[/]")
        _line(screen, 6, for_markup(f"{row['reason']}: {_WORDS.get(row['reason'], row['reason'])}"))
        _line(screen, 6, for_markup(", ".join(_facts(row))))


def _facts(row: Mapping[str, Any]) -> list[str]:
    facts = [str(row["provider"])]
    if row["confidence"] is not None:
        facts.append(f"sure {float(row['confidence']):.2f}")
    if row["verification"] is not None:
        facts.append(f"{row['verification']} by {row['verified_by'] or row['provider']}")
    if row["support"] is not None:
        facts.append(f"trust {float(row['support']):.2f}")
    if row["n_agreeing"] is not None and row["n_agreeing"] > 1:
        facts.append(f"{row['n_agreeing']} independent sources")
    facts.append("price unknown" if row["cost_usd"] is None else f"${row['cost_usd']:.4f}")
    at = row["observed_at"]
    facts.append(f"{at:%Y-%m-%d %H:%M} UTC" if isinstance(at, datetime) else str(at))
    return facts


def _line(screen: Console, indent: int, text: str) -> None:
    from rich.padding import Padding

    screen.print(Padding(text, (0, 0, 0, indent)))
