"""The grammar of a provider: everything that revetl needs to know of one vendor endpoint, as data.

It is closed on purpose: a key that is not here is an error, and there are no expressions. A vendor that needs more is
a Python class with `Provider`'s interface. One YAML file describes one vendor (`VendorFile`); each of its endpoints
becomes one flat `ProviderSpec` named `<vendor>.<endpoint>`.

Money is in US dollars as Decimal, times in seconds or days as the names say.
"""

from revetl.providers.grammar.about import AboutCheck, Comparison
from revetl.providers.grammar.auth import Auth
from revetl.providers.grammar.batching import BatchRequest, RecordMatching, RecordRow, RecordVerdict
from revetl.providers.grammar.endpoint import Endpoint, EndpointKind
from revetl.providers.grammar.jobs import AsyncJob, CallbackSignature, JobCallback, JobPoll, PollRow, PollVerdict
from revetl.providers.grammar.limits import EndpointLimits, RateWindow, Ttl
from revetl.providers.grammar.load import load_providers
from revetl.providers.grammar.model import Mistake
from revetl.providers.grammar.outputs import (
    COMMON_FIELDS,
    ConfidenceRule,
    Entity,
    ListItem,
    Output,
    Transform,
    VerificationRule,
)
from revetl.providers.grammar.pricing import Credits, EndpointPrice, NumberLocation, PriceGroup
from revetl.providers.grammar.request import RequestTemplate
from revetl.providers.grammar.templates import fill
from revetl.providers.grammar.vendor import ProviderSpec, VendorFile
from revetl.providers.grammar.verdicts import HttpRow, LookupVerdict, StatusRow, VerdictRow

__all__ = [
    "COMMON_FIELDS",
    "AboutCheck",
    "AsyncJob",
    "Auth",
    "BatchRequest",
    "CallbackSignature",
    "Comparison",
    "ConfidenceRule",
    "Credits",
    "Endpoint",
    "EndpointKind",
    "EndpointLimits",
    "EndpointPrice",
    "Entity",
    "HttpRow",
    "JobCallback",
    "JobPoll",
    "ListItem",
    "LookupVerdict",
    "Mistake",
    "NumberLocation",
    "Output",
    "PollRow",
    "PollVerdict",
    "PriceGroup",
    "ProviderSpec",
    "RateWindow",
    "RecordMatching",
    "RecordRow",
    "RecordVerdict",
    "RequestTemplate",
    "StatusRow",
    "Transform",
    "Ttl",
    "VendorFile",
    "VerdictRow",
    "VerificationRule",
    "fill",
    "load_providers",
]
