"""A waterfall, as the operator writes it: which fields are wanted, who is asked in which order, what it may cost.

One file of `enrichment/waterfalls/` is one waterfall. Money is in US dollars as Decimal, confidence runs from 0 to 1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from revetl.documents import Document, parse, read_yaml
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.providers.grammar import ProviderSpec
from revetl.schedules.spec import ScheduleSpec

Usd = Annotated[Decimal, Field(ge=0)]


def _days(written: object) -> object:
    """`180d` and `26w` are numbers of days; anything else is left to the type to refuse."""
    found = re.fullmatch(r"(\d+)([dw])", written.strip()) if isinstance(written, str) else None
    if found is None:
        raise ValueError("an age is written as 180d or 26w")
    return int(found[1]) * (7 if found[2] == "w" else 1)


Days = Annotated[int, BeforeValidator(_days), Field(ge=1)]


class _Strict(BaseModel):
    """What the file may hold is what stands here; a misspelt word is a mistake and not passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AcceptRule(_Strict):
    """When a value is good enough. A vendor that gives no confidence is not held to `min_confidence`."""

    min_confidence: float = Field(default=0.0, ge=0, le=1)
    verified: bool = False


class StopRule(_Strict):
    """When a field is found and nobody else is asked for it. `confidence`: an accepted value is at least so sure; one
    without a confidence is not. `agree`: so many independent sources gave the same accepted value."""

    confidence: float | None = Field(default=None, gt=0, le=1)
    agree: int | None = Field(default=None, ge=2, le=10)

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.confidence is None) == (self.agree is None):
            raise ValueError("either 'confidence' or 'agree'")
        return self


class WantedField(_Strict):
    """One field. `column` is where the entity may already hold it; the default is the field's own name. A value older
    than `refresh_after` is asked for again, and stands until there is a newer one."""

    column: str | None = None
    accept: AcceptRule = AcceptRule()
    stop: Literal["first_accepted"] | StopRule = "first_accepted"
    refresh_after: Days | None = None


class Stage(_Strict):
    """One provider. `fills` are the fields it is asked for (default: all wanted ones that it has); `when` is a SQL
    condition over the entity's columns; `verify` names the verifier of a field."""

    provider: str
    fills: tuple[str, ...] = ()
    when: str | None = None
    verify: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("when")
    @classmethod
    def _one_expression(cls, text: str | None) -> str | None:
        if text is not None:
            import sqlglot
            from sqlglot import exp

            try:
                parsed = sqlglot.parse(text)
            except sqlglot.errors.ParseError:
                raise ValueError("not a SQL condition") from None
            if len(parsed) != 1 or not isinstance(parsed[0], exp.Expression) or isinstance(parsed[0], exp.Command):
                raise ValueError("one SQL condition over the entity's columns, such as country = 'US'")
            if "--" in text or "/*" in text:
                raise ValueError("no SQL comment can stand here: it would swallow what follows")
        return text


class ProviderBudget(_Strict):
    """What this waterfall may spend with one provider. Where it is spent the provider is left out; the others go on."""

    per_run_usd: Usd | None = None
    per_day_usd: Usd | None = None
    per_month_usd: Usd | None = None


class BudgetSpec(ProviderBudget):
    """None: no limit of this waterfall's own. `per_record_usd` is what one record may cost in one run. Days and months
    are those of the calendar in UTC, over all runs of the waterfall. `providers` are endpoints or whole vendors."""

    per_record_usd: Usd | None = None
    providers: Mapping[str, ProviderBudget] = Field(default_factory=dict)


class AuditSpec(_Strict):
    """`share` of the records (0 to 1) is asked of every provider, within the budgets, so that `revetl tune` can tell
    what another order would cost."""

    share: float = Field(default=0.0, ge=0, le=1)


class WaterfallSpec(_Strict):
    """`inputs` maps a provider's input name to the entity's column, `fields` a wanted field to how it is wanted.

    `refresh_after` is for the fields that have none of their own. `same_source` lists vendors that have their data from
    one place, besides those whose files say so: for `agree` they count once.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    entity: str
    key: str = "golden_id"
    description: str = ""
    inputs: Annotated[Mapping[str, str], Field(min_length=1)]
    fields: Annotated[
        Mapping[str, Annotated[WantedField, BeforeValidator(lambda v: {} if v is None else v)]], Field(min_length=1)
    ]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    refresh_after: Days | None = None
    same_source: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    budget: BudgetSpec = BudgetSpec()
    audit: AuditSpec = AuditSpec()
    schedule: ScheduleSpec | None = Field(default=None, description="When `revetl serve` runs it.")

    @model_validator(mode="after")
    def _one_stage_per_provider(self) -> Self:
        asked = [stage.provider for stage in self.stages]
        if twice := next((p for p in asked if asked.count(p) > 1), None):
            raise ValueError(f"{twice!r} stands in two stages; one stage per provider")
        return self

    def column(self, field: str) -> str:
        return self.fields[field].column or field

    def verified_fields(self) -> dict[str, str]:
        """Wanted field that counts only once it is verified → the first verifier that a stage names for it."""
        found: dict[str, str] = {}
        for stage in self.stages:
            for field, verifier in stage.verify.items():
                if self.fields[field].accept.verified:
                    found.setdefault(field, verifier)
        return found

    def only_verifying(self) -> WaterfallSpec:
        """The same, but that no provider is asked for a value."""
        stages = tuple(stage.model_copy(update={"when": "1 = 0"}) for stage in self.stages if stage.verify)
        return self.model_copy(update={"stages": stages})

    def fills(self, stage: Stage, provider: ProviderSpec) -> tuple[str, ...]:
        """The wanted fields that this stage is there for."""
        return stage.fills or tuple(f for f in self.fields if f in provider.fields)

    def refresh_days(self, field: str) -> int | None:
        """Up to which age a value of this field is good; None: to the end of its ttl."""
        own = self.fields[field].refresh_after
        return self.refresh_after if own is None else own

    def sources(self, providers: Iterable[ProviderSpec]) -> dict[str, str]:
        """Vendor → what counts as one source with it: itself, or the group that has its data from one place."""
        links = [{p.vendor, p.source_group or p.vendor} for p in providers]
        vendors = dict.fromkeys(name for link in links for name in link)
        links += [set(group) for group in self.same_source]
        found = {}
        for vendor in vendors:
            same = {vendor}
            while more := {name for link in links if same & link for name in link} - same:
                same |= more
            found[vendor] = min(same)
        return found

    @property
    def order_version(self) -> str:
        """Changes whenever who is asked, in which order, for what, changes."""
        order = repr([(s.provider, s.fills, s.when, sorted(s.verify.items())) for s in self.stages])
        return hashlib.sha256(order.encode()).hexdigest()[:12]

    @property
    def provider_names(self) -> tuple[str, ...]:
        """Every provider and verifier that may be called, each once."""
        return tuple(dict.fromkeys(n for s in self.stages for n in (s.provider, *s.verify.values())))


def load_waterfalls(
    directory: Path, providers: Mapping[str, ProviderSpec], enrichable: Mapping[str, Collection[str]] | None = None
) -> dict[str, WaterfallSpec]:
    """Every waterfall of the folder by name, in the order of the files' names; none where there is no such folder.
    `enrichable`: the golden contract, a model → its columns that providers may fill; one that says none lets them all.

    Raises ConfigError with every mistake of every file, each at its line.
    """
    found: dict[str, WaterfallSpec] = {}
    problems: list[Problem] = []
    for path in sorted([*directory.glob("*.yml"), *directory.glob("*.yaml")]):
        try:
            document = read_yaml(path)
            if not isinstance(document.data, dict):
                raise ConfigError(document.problem((), "a waterfall file is a mapping that starts with 'name:'"))
            spec = parse(document, WaterfallSpec)
        except ConfigError as e:
            problems.extend(e.problems)
            continue
        if spec.name in found:
            problems.append(document.problem(("name",), f"a waterfall named {spec.name!r} already exists"))
        problems.extend(_contract_mistakes(document, spec, (enrichable or {}).get(spec.entity, ())))
        problems.extend(_mistakes(document, spec, providers))
        found[spec.name] = spec
    if problems:
        raise ConfigError(problems)
    return found


def _mistakes(document: Document, spec: WaterfallSpec, providers: Mapping[str, ProviderSpec]) -> Iterator[Problem]:
    finders = [n for n, p in providers.items() if p.kind == "finder"]
    verifiers = [n for n, p in providers.items() if p.kind == "verifier"]
    for i, stage in enumerate(spec.stages):
        at = ("stages", i)
        provider = providers.get(stage.provider)
        if provider is None or provider.kind != "finder":
            message = f"{stage.provider!r} is not a provider that finds values"
            yield document.problem((*at, "provider"), message, did_you_mean(stage.provider, finders))
            continue
        valid = [f for f in spec.fields if f in provider.fields]
        for name in stage.fills:
            if name not in valid:
                why = "is not given by" if name in spec.fields else "is not in 'fields', so it can't be asked of"
                yield document.problem((*at, "fills"), f"{name!r} {why} {stage.provider}", did_you_mean(name, valid))
        if not valid:
            yield document.problem((*at, "provider"), f"{stage.provider} gives none of the wanted fields")
        if not any(all(n in spec.inputs for n in group) for group in provider.sufficient):
            needs = " or ".join(" + ".join(group) for group in provider.sufficient)
            yield document.problem(
                (*at, "provider"), f"'inputs' can never be enough for {stage.provider}", f"It needs {needs}."
            )
        for field, name in stage.verify.items():
            if field not in spec.fills(stage, provider):
                yield document.problem((*at, "verify"), f"{field!r} is not filled by this stage")
            if name not in verifiers:
                message = f"{name!r} is not a verifier"
                yield document.problem((*at, "verify", field), message, did_you_mean(name, verifiers))
            elif not providers[name].can_ask({field: "x"}):
                yield document.problem((*at, "verify", field), f"{name} does not verify {field!r}")
    known = sorted({n for p in providers.values() for n in p.inputs})
    for name in spec.inputs:
        if name not in known:
            yield document.problem(("inputs", name), f"no provider has an input {name!r}", did_you_mean(name, known))
    yield from _money_mistakes(document, spec, providers)
    yield from _stop_mistakes(document, spec, providers)
    yield from _schedule_mistakes(document, spec)
    filled = {f for s in spec.stages if s.provider in providers for f in spec.fills(s, providers[s.provider])}
    # A stage that nobody knows might fill any of them: one mistake is told once.
    unknown = any(s.provider not in finders for s in spec.stages)
    for field in spec.fields:
        if field not in filled and not unknown:
            yield document.problem(("fields", field), f"no stage fills {field!r}", did_you_mean(field, sorted(filled)))


def _contract_mistakes(document: Document, spec: WaterfallSpec, enrichable: Collection[str]) -> Iterator[Problem]:
    for field in spec.fields if enrichable else ():
        if field not in enrichable:
            message = f"{field!r} is not a column of {spec.entity} that providers may fill"
            near = did_you_mean(field, [*enrichable])
            hint = f"{near} (`config: {{meta: {{enrichable: true}}}}` of a column, in the model's yml, makes it one)"
            yield document.problem(("fields", field), message, hint)


def _money_mistakes(
    document: Document, spec: WaterfallSpec, providers: Mapping[str, ProviderSpec]
) -> Iterator[Problem]:
    asked = [name for name in spec.provider_names if name in providers]
    known = sorted({*asked, *(providers[name].vendor for name in asked)})
    for name in spec.budget.providers:
        if name not in known:
            message = f"{name!r} is not asked by this waterfall"
            yield document.problem(("budget", "providers", name), message, did_you_mean(name, known))


def _schedule_mistakes(document: Document, spec: WaterfallSpec) -> Iterator[Problem]:
    """Who runs by hand is shown the cost and asked; of a schedule nobody is."""
    budget = spec.budget
    if spec.schedule and (budget.per_run_usd, budget.per_day_usd, budget.per_month_usd) == (None, None, None):
        message = "a waterfall that is scheduled spends without asking, so it needs a budget"
        yield document.problem(
            ("schedule",), message, "Write `budget: {per_day_usd: 5}`, or per_run_usd, per_month_usd."
        )


def _stop_mistakes(document: Document, spec: WaterfallSpec, providers: Mapping[str, ProviderSpec]) -> Iterator[Problem]:
    vendors = sorted({p.vendor for p in providers.values()})
    for i, group in enumerate(spec.same_source):
        for name in group:
            if name not in vendors:
                yield document.problem(("same_source", i), f"{name!r} is not a vendor", did_you_mean(name, vendors))
    for field, want in spec.fields.items():
        if not isinstance(want.stop, StopRule) or want.stop.agree is None:
            continue
        asked = [(stage, providers[stage.provider]) for stage in spec.stages if stage.provider in providers]
        same = spec.sources(providers.values())
        sources = {same[provider.vendor] for stage, provider in asked if field in spec.fills(stage, provider)}
        if len(sources) < want.stop.agree:
            message = f"{want.stop.agree} sources can never agree on {field!r}: {len(sources)} independent ones fill it"
            yield document.problem(("fields", field, "stop"), message)
