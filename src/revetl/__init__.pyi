# For type checkers: at run time `enrich` is a package that can be called, and is loaded when it is first asked for.
from revetl.api import EnrichWarning as EnrichWarning
from revetl.api import enrich as enrich
from revetl.api import enrich_async as enrich_async

__version__: str
