"""Programs that read HubSpot and that nobody here wrote. Each module but `found` runs inside its reader's own environment,
is started with the address of a portal, and prints one JSON document:

`records`: object → [{id, properties}]; `types`: object → property → the vendor's type; `links`: [[object, id, object, id, label
type or null]]; `owners` and `pipelines` where the reader asks for them. What a reader does not read is left out.
"""
