# For type checkers: at run time these are loaded when they are first asked for.
from revetl.api import EnrichWarning as EnrichWarning
from revetl.api import enrich as enrich
from revetl.api import enrich_async as enrich_async
from revetl.api import enrich_frame as enrich_frame
from revetl.api import enrich_frame_async as enrich_frame_async

__version__: str
