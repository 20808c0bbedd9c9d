"""One endpoint of a vendor, and the mistakes that its shape alone does not show."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from revetl.providers.grammar.about import AboutCheck
from revetl.providers.grammar.auth import Auth
from revetl.providers.grammar.batching import BatchRequest, RecordRow
from revetl.providers.grammar.jobs import AsyncJob
from revetl.providers.grammar.limits import EndpointLimits, Ttl
from revetl.providers.grammar.model import GrammarModel, Mistake, Name, unknown_names
from revetl.providers.grammar.outputs import COMMON_FIELDS, ConfidenceRule, Entity, Output, VerificationRule
from revetl.providers.grammar.pricing import EndpointPrice
from revetl.providers.grammar.request import RequestTemplate
from revetl.providers.grammar.templates import INPUTS, references, texts
from revetl.providers.grammar.verdicts import StatusRow

_INPUT = "an input of this endpoint"
EndpointKind = Literal["finder", "verifier"]


class Endpoint(GrammarModel):
    """One question that the vendor answers. `auth` only where it is not the vendor's. `expected_hit_rate` is a guess
    for estimates, until the ledger knows better."""

    kind: EndpointKind = "finder"
    entity: Entity
    inputs: Annotated[tuple[Name, ...], Field(min_length=1)]
    sufficient: Annotated[tuple[Annotated[tuple[Name, ...], Field(min_length=1)], ...], Field(min_length=1)]
    request: RequestTemplate
    auth: Auth | None = None
    batch: BatchRequest | None = None
    job: AsyncJob | None = None
    status: tuple[StatusRow, ...] = ()
    outputs: Annotated[Mapping[Name, Output], Field(min_length=1)]
    confidence: ConfidenceRule | None = None
    verification: VerificationRule | None = None
    about: tuple[AboutCheck, ...] = ()
    price: EndpointPrice
    expected_hit_rate: float | None = Field(default=None, gt=0, lt=1)
    free_repeat_days: int = Field(default=0, ge=0)
    ttl: Ttl = Ttl()
    limits: EndpointLimits = EndpointLimits()
    timeout_s: float = Field(default=30.0, gt=0, le=600)

    def mistakes(self, own_fields: Collection[str] | None = None) -> Iterator[Mistake]:
        """Names that stand for nothing: what the shapes alone can't tell. Each with its place inside the endpoint.
        `own_fields`: those that the project's models let providers fill; None: any."""
        for i, group in enumerate(self.sufficient):
            yield from unknown_names(("sufficient", i), group, self.inputs, _INPUT)
        yield from self._template_mistakes()
        outputs = tuple(self.outputs)
        for name in outputs if own_fields is not None else ():
            fields = tuple(dict.fromkeys((*COMMON_FIELDS[self.entity], *(own_fields or ()))))
            what = f"a field of a {self.entity}, nor a column that a model lets providers fill"
            yield from unknown_names(("outputs", name), [name], fields, what)
        for key in ("fields", "miss_fields"):
            for name in getattr(self.ttl, key):
                yield from unknown_names(("ttl", key, name), [name], outputs, "an output of this endpoint")
        for i, priced in enumerate(self.price.groups):
            yield from unknown_names(("price", "groups", i), priced.fields, outputs, "an output of this endpoint")
        credits = self.price.credits
        if credits is not None and credits.usd is not None and self.price.greatest_usd < credits.usd:
            message = "one credit costs more than the greatest declared price of a call, which is what budgets reserve"
            yield Mistake(("price",), message, "Declare per_call_usd or per_hit_usd.")
        if self.price.free_when is not None and self.batch is not None:
            yield Mistake(("price", "free_when"), "of a batch the vendor's count of credits says it: 'credits'", None)
        if self.kind == "verifier" and not (self.verification or any(o.verification for o in self.outputs.values())):
            yield Mistake(("kind",), "a verifier needs 'verification'", None)
        if self.job is not None:
            yield from self._job_mistakes(self.job)
        else:
            for i, row in enumerate(self.status):
                if row.verdict == "submitted":
                    yield Mistake(("status", i), "'submitted' goes with 'job'", None)

    def _template_mistakes(self) -> Iterator[Mistake]:
        envelope, items = list(self.request.templates()), list(self.batch.templates()) if self.batch else []
        # The envelope serves many lookups, so it has no inputs of its own.
        accepted = () if self.batch else self.inputs
        auth = self.auth
        if auth is not None and auth.type == "body" and not self.request.has_body and self.batch is None:
            yield Mistake(("auth",), "the key goes into the body, and this request has none", None)
        if self.batch is not None and self.request.form is not None:
            yield Mistake(("request", "form"), "a batch is sent as JSON", None)
        yield from self._path_mistakes()
        for i, check in enumerate(self.about):
            yield from unknown_names(("about", i, "asked"), references(check.asked), self.inputs, _INPUT)
            if not references(check.asked):
                yield Mistake(("about", i, "asked"), "a template with an input, such as '{name}'", None)
        for place, text in envelope:
            names = references(text)
            if self.batch and names:
                message = f"{names[0]!r} is of one lookup, and this is sent once for all of a batch"
                yield Mistake(place, message, "Put it into batch.item.")
            else:
                yield from unknown_names(place, names, accepted, _INPUT)
        for place, text in items:
            yield from unknown_names(place, references(text), (*self.inputs, "ref"), _INPUT)
        sent = {name for _, text in (*envelope, *items) for name in references(text)}
        for name in self.inputs:
            if name not in sent:
                yield Mistake(("inputs",), f"the request never sends the input {name!r}", None)
        if self.batch is not None:
            yield from self._batch_mistakes(self.batch)

    def _path_mistakes(self) -> Iterator[Mistake]:
        """A path has no parameter that could be left out."""
        for group in INPUTS.findall(self.request.path) if self.batch is None else ():
            names = group.split("|")
            lacking = next((inputs for inputs in self.sufficient if not set(names) & set(inputs)), None)
            if lacking is not None:
                message = f"the path needs {group!r}, which {' + '.join(lacking)} in 'sufficient' does not hold"
                yield Mistake(("request", "path"), message, None)

    def _batch_mistakes(self, batch: BatchRequest) -> Iterator[Mistake]:
        if batch.match is None and len(batch.results) > 1:
            message = "records of several lists have no common order: 'match' has to say whose they are"
            yield Mistake(("batch", "results"), message, None)
        if batch.match is None and batch.named:
            yield Mistake(("batch", "named"), "names are compared as 'match' says, which is not there", None)
        if self.request.method == "GET":
            yield Mistake(("request", "method"), "a batch is sent with POST", None)
        if not any(row.verdict == "hit" for row in batch.status or (RecordRow(verdict="hit"),)):
            yield Mistake(("batch", "status"), "no row says 'hit'", None)
        echoed = batch.match is not None and "{ref}" in batch.match.equals
        if echoed and "ref" not in (n for _, text in texts(batch.item, ()) for n in references(text)):
            yield Mistake(("batch", "item"), "'match' waits for '{ref}', which no item sends", None)

    def _job_mistakes(self, job: AsyncJob) -> Iterator[Mistake]:
        if self.kind == "verifier":
            yield Mistake(("job",), "a verifier answers at once: it has no 'job'", None)
        if self.batch is None:
            if not any(row.verdict == "submitted" for row in self.status):
                message = "no row of the endpoint's status table says 'submitted'"
                yield Mistake(("job",), message, "{http: 200, verdict: submitted}: the vendor took it as a job.")
        elif self.batch.match is None or "{ref}" not in self.batch.match.equals:
            message = "a job needs 'match' with '{ref}': a later run that fetches its result has no other order"
            yield Mistake(("batch",), message, None)
        if not any(row.verdict == "hit" for row in job.poll.status):
            yield Mistake(("job", "poll", "status"), "no row says 'hit'", None)
