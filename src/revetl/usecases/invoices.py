"""`revetl invoices import`: a vendor's invoice held against the ledger, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from revetl.enrich.invoices.comparing import InvoiceComparison, compare
from revetl.enrich.invoices.ledger import charged_calls
from revetl.enrich.invoices.reading import read_invoice
from revetl.enrich.lists.files import HowToRead, open_list
from revetl.errors import ConfigError, did_you_mean
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project


@dataclass(frozen=True, slots=True)
class InvoiceResult:
    """`lines` of the file are the invoice's, `others` are not (sums, text)."""

    vendor: str
    lines: int
    others: int
    comparison: InvoiceComparison

    @property
    def exit_code(self) -> int:
        return 0 if self.comparison.agrees else 1


def compare_invoice(
    project: Project, caller: Caller, file: Path, vendor: str, columns: Mapping[str, str], how: HowToRead
) -> InvoiceResult:
    """Reads the file and the ledger, and writes nothing. `columns`: part → the file's column. ConfigError where the
    file can't be read as an invoice, or the vendor is none of the project's."""
    vendors = {name for spec in project.providers.values() for name in (spec.name, spec.vendor)}
    if vendor not in vendors:
        raise ConfigError(f"no provider {vendor!r}", hint=did_you_mean(vendor, sorted(vendors)))
    with open_list(str(file), BytesIO(), how) as listing:
        invoice = read_invoice(listing, columns)
    first, last = min(line.day for line in invoice.lines), max(line.day for line in invoice.lines)
    with caller.warehouse(project) as warehouse:
        calls = charged_calls(warehouse, vendor, first, last, project.settings.budget.zone)
    return InvoiceResult(vendor, len(invoice.lines), invoice.others, compare(invoice.lines, calls))
