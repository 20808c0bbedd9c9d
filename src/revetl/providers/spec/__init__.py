"""The grammar of a provider: everything that revetl needs to know of one vendor endpoint, as data.

It is closed on purpose: a key that is not here is an error, and there are no expressions. A vendor that needs more is
a Python class with `Provider`'s interface. One YAML file describes one vendor (`VendorFile`); each of its endpoints
becomes one flat `ProviderSpec` named `<vendor>.<endpoint>`.

Money is in US dollars as Decimal, times in seconds or days as the names say.
"""

from revetl.providers.spec.batch import (
    Batch,
    Callback,
    Job,
    Match,
    Poll,
    PollRow,
    PollVerdict,
    RecordRow,
    RecordVerdict,
    Signature,
)
from revetl.providers.spec.parts import (
    FIELDS,
    Auth,
    Confidence,
    Entity,
    HttpRow,
    Kind,
    Mistake,
    Output,
    Request,
    Row,
    StatusRow,
    Transform,
    Verdict,
    VerificationRule,
    Verified,
)
from revetl.providers.spec.terms import Credits, Limits, Place, Price, PriceGroup, Ttl, Window
from revetl.providers.spec.vendor import Endpoint, ProviderSpec, VendorFile

__all__ = [
    "FIELDS",
    "Auth",
    "Batch",
    "Callback",
    "Confidence",
    "Credits",
    "Endpoint",
    "Entity",
    "HttpRow",
    "Job",
    "Kind",
    "Limits",
    "Match",
    "Mistake",
    "Output",
    "Place",
    "Poll",
    "PollRow",
    "PollVerdict",
    "Price",
    "PriceGroup",
    "ProviderSpec",
    "RecordRow",
    "RecordVerdict",
    "Request",
    "Row",
    "Signature",
    "StatusRow",
    "Transform",
    "Ttl",
    "VendorFile",
    "Verdict",
    "VerificationRule",
    "Verified",
    "Window",
]
