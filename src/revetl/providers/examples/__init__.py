"""Examples of a vendor's dialect: what is sent, what comes back, what it means. Documentation and tests at once.

`files` reads enrichment/examples/, `replay` plays one against the provider that its spec makes, `coverage` finds what
no example shows: a pointer that never matches, a case that is missing.
"""
