"""A vendor's invoice, line by line, beside the ledger."""
