"""revetl: reverse ETL and waterfall enrichment on a warehouse.

    import revetl
    enriched = revetl.enrich(frame, waterfall="contact_profile", max_spend_usd=5)

`enrich`, `enrich_async` and `EnrichWarning` are the Python API; they are loaded when they are first asked for, so that
`import revetl` stays light.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "enrich":
        # The package of that name, which can be called: see there.
        return import_module("revetl.enrich")
    if name in ("enrich_async", "EnrichWarning"):
        return getattr(import_module("revetl.api"), name)
    raise AttributeError(f"module 'revetl' has no attribute {name!r}")
