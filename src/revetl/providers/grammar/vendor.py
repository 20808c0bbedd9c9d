"""One vendor's file, and the flat spec that each of its endpoints becomes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from revetl.one_or_many import OneOrMany
from revetl.providers.grammar.auth import Auth
from revetl.providers.grammar.endpoint import Endpoint
from revetl.providers.grammar.jobs import AsyncJob, JobPoll, PollRow
from revetl.providers.grammar.limits import EndpointLimits
from revetl.providers.grammar.model import GrammarModel, Mistake, Name, Pointer
from revetl.providers.grammar.verdicts import StatusRow


class VendorFile(GrammarModel):
    """One file of enrichment/providers/. `status` holds for every endpoint, after the endpoint's own rows; slow_down
    and unavailable hold for its polls too. `limits` count over all endpoints that have none of their own.
    `source_group` is the same for vendors that have their data from one place (one resells the other): where they
    agree, it is one witness and not two."""

    vendor: Name
    title: str = ""
    source_group: Name | None = None
    base_url: str = Field(pattern=r"^https?://[^/]+")
    auth: Auth
    error_code: Annotated[tuple[Pointer, ...], OneOrMany()] = ()
    status: tuple[StatusRow, ...] = ()
    limits: EndpointLimits | None = None
    endpoints: Annotated[Mapping[Name, Endpoint], Field(min_length=1)]

    def mistakes(self, own_fields: Collection[str] | None = None) -> Iterator[Mistake]:
        """As `Endpoint.mistakes`, each with its place inside the file."""
        if self.limits is not None and self.limits.share:
            yield Mistake(("limits", "share"), "a vendor's limits are shared already", None)
        shared: dict[str, EndpointLimits] = {}
        for name, endpoint in self.endpoints.items():
            if endpoint.limits.share and shared.setdefault(endpoint.limits.share, endpoint.limits) != endpoint.limits:
                message = f"endpoints that share {endpoint.limits.share!r} have the same limits, and these differ"
                yield Mistake(("endpoints", name, "limits"), message, None)
            callback = endpoint.job.callback if endpoint.job is not None else None
            if callback is not None and "api_key" not in (endpoint.auth or self.auth).needs:
                message = "a callback is signed under the api_key, which this vendor's auth has not"
                yield Mistake(("endpoints", name, "job", "callback"), message, None)
            for mistake in endpoint.mistakes(own_fields):
                yield mistake._replace(place=("endpoints", name, *mistake.place))
            rows = (*endpoint.status, *self.status)
            if not any("hit" in (row.verdict, row.then) or row.verdict == "submitted" for row in rows):
                yield Mistake(("endpoints", name), "no row of the status table says 'hit'", None)

    def _poll_of(self, job: AsyncJob) -> JobPoll:
        """Of the vendor's rows only those that say "not now" mean the same to a poll: what is a miss of a lookup is not
        one of a job."""
        shared = [
            PollRow.model_validate(row.model_dump(exclude_unset=True))
            for row in self.status
            if row.verdict in ("slow_down", "unavailable")
        ]
        return job.poll.model_copy(update={"status": (*job.poll.status, *shared)})

    def specs(self) -> Iterator[ProviderSpec]:
        shared = {name: getattr(self, name) for name in ("vendor", "source_group", "base_url", "error_code")}
        for name, endpoint in self.endpoints.items():
            own = {field: getattr(endpoint, field) for field in Endpoint.model_fields}
            own |= {"auth": endpoint.auth or self.auth, "status": (*endpoint.status, *self.status)}
            if (job := endpoint.job) is not None:
                own["job"] = job.model_copy(update={"poll": self._poll_of(job)})
            limiter = endpoint.limits.share or name
            if self.limits is not None and "limits" not in endpoint.model_fields_set:
                own["limits"], limiter = self.limits, ""
            yield ProviderSpec.model_validate({**shared, **own, "name": f"{self.vendor}.{name}", "limiter": limiter})


class ProviderSpec(Endpoint):
    """One endpoint with what it shares with its vendor: all that the enrichment engine and the caller need.

    `limiter` names what its limits count over, within the account: empty for the whole of it. `vendor` is also the name
    of the connection in profiles/connections.yml, whose `base_url` goes before this one's.
    """

    name: str
    vendor: str
    source_group: str | None = None
    base_url: str
    auth: Auth
    error_code: tuple[str, ...] = ()
    limiter: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it may fill, as declared."""
        return tuple(self.outputs)

    @property
    def at_once(self) -> int:
        """How many questions or batches may wait for their answer at a time: requests, or jobs."""
        return self.job.at_once if self.job is not None else self.limits.concurrency

    @property
    def at_work_s(self) -> float:
        """For how long a job that nobody heard of again may still be at work: until then a repeat runs beside it, which
        is free with no vendor."""
        return self.job.poll.patience_s if self.job is not None else 0.0

    def can_ask(self, inputs: Mapping[str, str | None]) -> bool:
        """Whether at least one sufficient combination of inputs is present and not empty."""
        return any(all(inputs.get(name) for name in group) for group in self.sufficient)

    def relevant(self, inputs: Mapping[str, str | None]) -> dict[str, str]:
        """The inputs that would be sent: two lookups for which this is equal are the same question."""
        return {name: value for name in self.inputs if (value := inputs.get(name))}

    @property
    def price_per_call(self) -> Decimal:
        return self.price.per_call_usd

    @property
    def price_per_hit(self) -> Decimal:
        """What a hit adds to the price of the call, additions for field groups not counted."""
        return self.price.per_hit_usd

    @property
    def greatest_usd(self) -> Decimal:
        """The most that one call may cost by this price: what has to be reserved before it leaves."""
        return self.price.greatest_usd

    def ttl_hit_days(self, field: str) -> int:
        return self.ttl.fields.get(field, self.ttl.hit_days)

    @property
    def ttl_miss_days(self) -> int:
        return self.ttl.miss_days

    def miss_days(self, fields: Iterable[str]) -> int:
        """How long a miss keeps these fields from being asked for again."""
        return min(
            (self.ttl.miss_fields.get(field, self.ttl.miss_days) for field in fields), default=self.ttl.miss_days
        )
