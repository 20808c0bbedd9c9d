# For type checkers: at run time `enrich` is a package that can be called, and is loaded when it is first asked for.
from revetl.frames import EnrichWarning as EnrichWarning
from revetl.frames import enrich as enrich
from revetl.frames import enrich_async as enrich_async

__version__: str
