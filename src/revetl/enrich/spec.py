"""A waterfall, as the operator writes it: which fields are wanted, who is asked in which order, what it may cost.

One file of `enrichment/waterfalls/` is one waterfall. Money is in US dollars as Decimal, confidence runs from 0 to 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from revetl.documents import Document, parse, read_yaml
from revetl.errors import ConfigError, Problem, did_you_mean
from revetl.providers.spec import ProviderSpec

Usd = Annotated[Decimal, Field(ge=0)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Accept(Part):
    """When a value is good enough. A vendor that gives no confidence is not held to `min_confidence`."""

    min_confidence: float = Field(default=0.0, ge=0, le=1)
    verified: bool = False


class Want(Part):
    """One field. `column` is where the entity may already hold it; the default is the field's own name."""

    column: str | None = None
    accept: Accept = Accept()


class Stage(Part):
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


class BudgetSpec(Part):
    """None: no limit of this waterfall's own. `per_record_usd` is what one record may cost in one run."""

    per_run_usd: Usd | None = None
    per_record_usd: Usd | None = None


class AuditSpec(Part):
    """`share` of the records (0 to 1) is asked of every provider, within the budgets, so that `revetl tune` can tell
    what another order would cost."""

    share: float = Field(default=0.0, ge=0, le=1)


class WaterfallSpec(Part):
    """`inputs` maps a provider's input name to the entity's column, `fields` a wanted field to how it is wanted."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    entity: str
    key: str = "golden_id"
    description: str = ""
    inputs: Annotated[Mapping[str, str], Field(min_length=1)]
    fields: Annotated[
        Mapping[str, Annotated[Want, BeforeValidator(lambda v: {} if v is None else v)]], Field(min_length=1)
    ]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    budget: BudgetSpec = BudgetSpec()
    audit: AuditSpec = AuditSpec()

    @model_validator(mode="after")
    def _one_stage_per_provider(self) -> Self:
        asked = [stage.provider for stage in self.stages]
        if twice := next((p for p in asked if asked.count(p) > 1), None):
            raise ValueError(f"{twice!r} stands in two stages; one stage per provider")
        return self

    def column(self, field: str) -> str:
        return self.fields[field].column or field

    def fills(self, stage: Stage, provider: ProviderSpec) -> tuple[str, ...]:
        """The wanted fields that this stage is there for."""
        return stage.fills or tuple(f for f in self.fields if f in provider.fields)

    @property
    def order_version(self) -> str:
        """Changes whenever who is asked, in which order, for what, changes."""
        order = repr([(s.provider, s.fills, s.when, sorted(s.verify.items())) for s in self.stages])
        return hashlib.sha256(order.encode()).hexdigest()[:12]

    @property
    def provider_names(self) -> tuple[str, ...]:
        """Every provider and verifier that may be called, each once."""
        return tuple(dict.fromkeys(n for s in self.stages for n in (s.provider, *s.verify.values())))


def load_waterfalls(directory: Path, providers: Mapping[str, ProviderSpec]) -> dict[str, WaterfallSpec]:
    """Every waterfall of the folder by name, in the order of the files' names; none where there is no such folder.

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
    filled = {f for s in spec.stages if s.provider in providers for f in spec.fills(s, providers[s.provider])}
    # A stage that nobody knows might fill any of them: one mistake is told once.
    unknown = any(s.provider not in finders for s in spec.stages)
    for field in spec.fields:
        if field not in filled and not unknown:
            yield document.problem(("fields", field), f"no stage fills {field!r}", did_you_mean(field, sorted(filled)))
