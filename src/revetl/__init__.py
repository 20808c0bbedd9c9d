"""revetl: reverse ETL and waterfall enrichment on a warehouse.

    import revetl
    report = revetl.run(max_spend_usd=5)
    enriched = revetl.enrich_frame(frame, waterfall="contact_profile", max_spend_usd=5)

The functions are those of `revetl.api`, which is loaded when one of them is first asked for, so that `import revetl`
stays light. One is reached there only: `revetl.api.sync`, since `revetl.sync` is a package.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_API = (
    "EnrichWarning",
    "apply",
    "disconnect",
    "drift",
    "enrich_async",
    "enrich_frame",
    "enrich_frame_async",
    "plan",
    "retry",
    "rollback",
    "run",
)


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module("revetl.api"), name)
    if name in ("api", "enrich"):
        return import_module(f"revetl.{name}")
    raise AttributeError(f"module 'revetl' has no attribute {name!r}")


# `revetl.enrich(frame)` is what `revetl.enrich_frame(frame)` was called. The old call works for one more release; then
# all below goes. Python puts a subpackage in its parent's namespace whenever something of it is imported, so the
# package `revetl.enrich` is what can be called: it is made so here, and knows nothing of it.
class _CallableSubpackage(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        return import_module("revetl.api").enrich(*args, **options)


class _Revetl(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        if name == "enrich" and isinstance(value, ModuleType):
            value.__class__ = _CallableSubpackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Revetl
