"""The settings of a session: its account, its vendor, its patience. Plain values: nothing here sends or waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from revetl.http.auth import ClientCertificate, RequestAuth
    from revetl.http.pacing import Rate, SharedLimit
    from revetl.http.verdict import ResponseVerdict

# Ten times the longest answer that is documented anywhere: a thousand properties of a hundred records.
MOST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a request may take and how often it is repeated. All times in seconds.

    `timeout_s` bounds one attempt from the first byte sent to the last received; `deadline_s` a request with its
    retries, from its first attempt. `throttle_patience_s`: how long the vendor may answer 429 to all, or to one.
    `retry_share`: retries allowed per request made, beyond the first `retry_reserve`; both are of the session, so a
    policy given to one request does not change them.
    """

    timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    deadline_s: float = 180.0
    max_attempts: int = 6
    first_backoff_s: float = 0.5
    max_backoff_s: float = 20.0
    throttle_patience_s: float = 300.0
    retry_share: float = 0.2
    retry_reserve: float = 30.0


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """Names of the headers that carry the vendor's live count, lower case."""

    limit: str
    remaining: str


@dataclass(frozen=True, slots=True)
class ResponseRules:
    """How this vendor's responses are read. Each callable must return without waiting and must not raise.

    `verdicts`: what single statuses mean, over the default table (`revetl.http.verdict`).
    `rate_headers`: where it says how many requests are left; None where it does not.
    `retry_after_s`: reads from a 429 how long to wait, in seconds. None means that nobody said; infinity that waiting
    is of no use, so that `Throttled` is raised at once. Without it the header Retry-After is read.
    `error_code`: the vendor's own code for an error, for the message and for `CallError.code`.
    `explain`: what an error asks for, in words for a person ("the token lacks …"); None where it names nothing.
    `show_body`: what is raised says the beginning of the answer's body, masked (`Session.excerpt`). For endpoints whose
    errors have no form that `error_code` and `explain` could read.
    `readable`: whether a success is the vendor's own. A proxy's page with status 200 says nothing about what was done,
    so it counts as a lost answer.
    `most_bytes`: the longest body that is read, unpacked; what is longer counts as a lost answer. `status_suffices`:
    the body says nothing that is needed, so a success with a longer one is one all the same.
    `verdict`: what this answer means, where its status alone does not say; None leaves it to the table.
    `on_response`: is handed every response that came, for what its headers say.
    """

    verdicts: Mapping[int, ResponseVerdict] = field(default_factory=dict)
    rate_headers: RateHeaders | None = None
    retry_after_s: Callable[[httpx.Response], float | None] | None = None
    error_code: Callable[[httpx.Response], str | None] = lambda _: None
    explain: Callable[[httpx.Response], str | None] = lambda _: None
    show_body: bool = False
    readable: Callable[[httpx.Response], bool] = lambda _: True
    most_bytes: int = MOST_BYTES
    status_suffices: bool = False
    verdict: Callable[[httpx.Response], ResponseVerdict | None] = lambda _: None
    on_response: Callable[[httpx.Response], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """One account: its credentials, its limits, its patience.

    `headers` and `params` go with every request; credentials stand there, and are named in `secrets` too, so that no
    message holds them. None of them is part of the repr. `auth`: what authorises each attempt, in this order; a 401 is
    followed by one more attempt where any of it can be refreshed. `client_certificate`: for a vendor that asks for one.
    `rates`: the declared rate of each limit by name, "default" for all requests that name none.
    `shared_limits`: limits that other sessions of the account use as well, by name; they win over `rates`.
    `allow_insecure`: plain http to another machine is allowed.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    rates: Mapping[str, Rate] = field(default_factory=dict)
    shared_limits: Mapping[str, SharedLimit] = field(default_factory=dict)
    policy: Policy = Policy()
    allow_insecure: bool = False
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: Sequence[RequestAuth] = field(default=(), repr=False)
    client_certificate: ClientCertificate | None = None
