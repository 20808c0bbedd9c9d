"""Programs that read HubSpot and that nobody here wrote. Each file runs inside its reader's own environment, is
started with the address of a portal, and prints one JSON document:

`records`, and `searched` where the reader searches: object → [{id, properties}]. `types`: object → property → the
vendor's type. `links`: [[object, id, object, id, type or null]]. `owners`, `pipelines`, `schemas` and `history`: as far
as the reader asks. What a reader does not read is left out.
"""
