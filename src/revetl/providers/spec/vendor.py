"""One vendor's file, its endpoints, and the flat spec that each of them becomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from revetl.providers.spec.batch import Batch, Job, Poll, PollRow, RecordRow
from revetl.providers.spec.parts import (
    FIELDS,
    Auth,
    Confidence,
    Entity,
    Kind,
    Mistake,
    Name,
    OneOrMany,
    Output,
    Part,
    Pointer,
    Request,
    StatusRow,
    VerificationRule,
    references,
    texts,
    unknown,
)
from revetl.providers.spec.terms import Limits, Price, Ttl


class Endpoint(Part):
    """One question that the vendor answers. `auth` only where it is not the vendor's. `expected_hit_rate` is a guess
    for estimates, until the ledger knows better."""

    kind: Kind = "finder"
    entity: Entity
    inputs: Annotated[tuple[Name, ...], Field(min_length=1)]
    sufficient: Annotated[tuple[Annotated[tuple[Name, ...], Field(min_length=1)], ...], Field(min_length=1)]
    request: Request
    auth: Auth | None = None
    batch: Batch | None = None
    job: Job | None = None
    status: tuple[StatusRow, ...] = ()
    outputs: Annotated[Mapping[Name, Output], Field(min_length=1)]
    confidence: Confidence | None = None
    verification: VerificationRule | None = None
    price: Price
    expected_hit_rate: float | None = Field(default=None, gt=0, lt=1)
    free_repeat_days: int = Field(default=0, ge=0)
    ttl: Ttl = Ttl()
    limits: Limits = Limits()
    timeout_s: float = Field(default=30.0, gt=0, le=600)

    def mistakes(self) -> Iterator[Mistake]:
        """Names that stand for nothing: what the shapes alone can't tell. Each with its place inside the endpoint."""
        for i, group in enumerate(self.sufficient):
            yield from unknown(("sufficient", i), group, self.inputs, "an input of this endpoint")
        yield from self._of_templates()
        outputs = tuple(self.outputs)
        for name in outputs:
            yield from unknown(("outputs", name), [name], FIELDS[self.entity], f"a field of a {self.entity}")
        for key in ("fields", "miss_fields"):
            for name in getattr(self.ttl, key):
                yield from unknown(("ttl", key, name), [name], outputs, "an output of this endpoint")
        for i, priced in enumerate(self.price.groups):
            yield from unknown(("price", "groups", i), priced.fields, outputs, "an output of this endpoint")
        credits = self.price.credits
        if credits is not None and credits.usd is not None and self.price.greatest_usd < credits.usd:
            message = "one credit costs more than the greatest declared price of a call, which is what budgets reserve"
            yield Mistake(("price",), message, "Declare per_call_usd or per_hit_usd.")
        if self.price.free_when is not None and self.batch is not None:
            yield Mistake(("price", "free_when"), "of a batch the vendor's count of credits says it: 'credits'", None)
        if self.kind == "verifier" and not (self.verification or any(o.verification for o in self.outputs.values())):
            yield Mistake(("kind",), "a verifier needs 'verification'", None)
        if self.job is not None:
            yield from self._of_job(self.job)

    def _of_templates(self) -> Iterator[Mistake]:
        envelope, items = list(self.request.templates()), list(self.batch.templates()) if self.batch else []
        # The envelope serves many lookups, so it has no inputs of its own.
        known = () if self.batch else self.inputs
        auth = self.auth
        if auth is not None and auth.type == "body" and self.request.json_body is None and self.batch is None:
            yield Mistake(("auth",), "the key goes into the body, and this request has none", None)
        for place, text in envelope:
            names = references(text)
            if self.batch and names:
                message = f"{names[0]!r} is of one lookup, and this is sent once for all of a batch"
                yield Mistake(place, message, "Put it into batch.item.")
            else:
                yield from unknown(place, names, known, "an input of this endpoint")
        for place, text in items:
            yield from unknown(place, references(text), (*self.inputs, "ref"), "an input of this endpoint")
        sent = {name for _, text in (*envelope, *items) for name in references(text)}
        for name in self.inputs:
            if name not in sent:
                yield Mistake(("inputs",), f"the request never sends the input {name!r}", None)
        if self.batch is None:
            return
        if self.batch.match is None and len(self.batch.results) > 1:
            message = "records of several lists have no common order: 'match' has to say whose they are"
            yield Mistake(("batch", "results"), message, None)
        if self.batch.match is None and self.batch.named:
            yield Mistake(("batch", "named"), "names are compared as 'match' says, which is not there", None)
        if self.request.method == "GET":
            yield Mistake(("request", "method"), "a batch is sent with POST", None)
        if not any(row.verdict == "hit" for row in self.batch.status or (RecordRow(verdict="hit"),)):
            yield Mistake(("batch", "status"), "no row says 'hit'", None)
        echoed = self.batch.match is not None and "{ref}" in self.batch.match.equals
        if echoed and "ref" not in (n for _, text in texts(self.batch.item, ()) for n in references(text)):
            yield Mistake(("batch", "item"), "'match' waits for '{ref}', which no item sends", None)

    def _of_job(self, job: Job) -> Iterator[Mistake]:
        if self.kind == "verifier":
            yield Mistake(("job",), "a verifier answers at once: it has no 'job'", None)
        if self.batch is None:
            yield Mistake(("job",), "a job needs 'batch': what is submitted, and where its records stand", None)
        elif self.batch.match is None or "{ref}" not in self.batch.match.equals:
            message = "a job needs 'match' with '{ref}': a later run that fetches its result has no other order"
            yield Mistake(("batch",), message, None)
        if not any(row.verdict == "hit" for row in job.poll.status):
            yield Mistake(("job", "poll", "status"), "no row says 'hit'", None)


class VendorFile(Part):
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
    limits: Limits | None = None
    endpoints: Annotated[Mapping[Name, Endpoint], Field(min_length=1)]

    def mistakes(self) -> Iterator[Mistake]:
        if self.limits is not None and self.limits.share:
            yield Mistake(("limits", "share"), "a vendor's limits are shared already", None)
        shared: dict[str, Limits] = {}
        for name, endpoint in self.endpoints.items():
            if endpoint.limits.share and shared.setdefault(endpoint.limits.share, endpoint.limits) != endpoint.limits:
                message = f"endpoints that share {endpoint.limits.share!r} have the same limits, and these differ"
                yield Mistake(("endpoints", name, "limits"), message, None)
            for mistake in endpoint.mistakes():
                yield mistake._replace(place=("endpoints", name, *mistake.place))
            if not any("hit" in (row.verdict, row.then) for row in (*endpoint.status, *self.status)):
                yield Mistake(("endpoints", name), "no row of the status table says 'hit'", None)

    def _poll_of(self, job: Job) -> Poll:
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
