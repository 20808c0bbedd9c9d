# For type checkers: at run time these are loaded when they are first asked for.
from revetl import api as api
from revetl.api import EnrichWarning as EnrichWarning
from revetl.api import apply as apply
from revetl.api import drift as drift
from revetl.api import enrich as enrich
from revetl.api import enrich_async as enrich_async
from revetl.api import enrich_frame as enrich_frame
from revetl.api import enrich_frame_async as enrich_frame_async
from revetl.api import plan as plan
from revetl.api import retry as retry
from revetl.api import rollback as rollback
from revetl.api import run as run

__version__: str
