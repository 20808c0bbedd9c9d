"""An invoice beside the ledger, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from revetl.safe_text import for_markup

if TYPE_CHECKING:
    from rich.console import Console

    from revetl.usecases.invoices import InvoiceResult

_SHOWN = 20


def show_invoice(screen: Console, result: InvoiceResult) -> None:
    """The sums, then what stands on one side only, the first twenty of each kind."""
    found = result.comparison
    screen.print(
        f"{result.lines:,} lines bill ${found.billed_usd:,.2f}; the ledger has ${found.ledger_usd:,.2f} of these days. "
        f"{found.matched:,} lines are the ledger's."
    )
    if result.others:
        screen.print(f"{result.others:,} lines of the file have no day or no amount, and are not the invoice's.")
    kinds = [
        (
            "cost another sum than the ledger says",
            [
                f"{for_markup(d.reference)}: billed ${d.billed_usd}, in the ledger ${d.ledger_usd} (line {d.lines[0]})"
                for d in found.differing
            ],
        ),
        (
            "are billed, and may be calls in doubt: revetl enrich --in-doubt --resolve charged",
            [
                f"line {line.number}, {line.day}: ${line.usd}, run {for_markup(call.run_id)}, {call.provider}"
                for line, call in found.billed_in_doubt
            ],
        ),
        (
            "are billed, and no call of the ledger",
            [f"line {line.number}, {line.day}: ${line.usd}" for line in found.billed_only],
        ),
        (
            "are in the ledger, and not billed",
            [f"{call.day}: ${call.usd}, {call.provider}, call {call.call_id}" for call in found.ledger_only],
        ),
    ]
    for what, said in kinds:
        if said:
            screen.print(f"{len(said):,} {what}")
            for each in said[:_SHOWN]:
                screen.print(f"  {each}")
            if len(said) > _SHOWN:
                screen.print(f"  and {len(said) - _SHOWN:,} more: --json shows all")
