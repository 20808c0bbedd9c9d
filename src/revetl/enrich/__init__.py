"""Waterfall enrichment: fill what records lack from providers, at a price that is known and bounded.

`revetl.enrich(frame)` is the Python API's function of that name: an import of anything in this package puts the package
in its place, so the package itself can be called.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from revetl.enrich.report import EnrichReport, Estimate, FieldReport, Progress, ProviderReport, StageEstimate

__all__ = ["EnrichReport", "Estimate", "FieldReport", "Progress", "ProviderReport", "StageEstimate"]


class _Package(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # By name: it stands above this layer and is loaded only when it is called.
        return import_module("revetl.api").enrich(*args, **kwargs)


sys.modules[__name__].__class__ = _Package
