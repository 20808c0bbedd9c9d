"""`revetl provider try`: one lookup, made as every other one is, and all that came of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from revetl.enrich.lists.cells import EntityKind, canonical
from revetl.enrich.selection.records import RecordSelection
from revetl.enrich.selection.scope import Scope
from revetl.enrich.waterfall import Stage, WantedField, WaterfallSpec
from revetl.errors import ConfigError, GuardrailError, did_you_mean
from revetl.providers.base import Lookup, ProvidedValue
from revetl.providers.engine.records import render_batch
from revetl.providers.engine.rendering import OutgoingRequest, UnusableInput, render
from revetl.state.schema import create_all, create_table, relation
from revetl.usecases.caller import Caller
from revetl.usecases.enrich import NOT_AGREED
from revetl.usecases.waterfalls import SharedBudget, WaterfallInput, ask_providers
from revetl.warehouse.sql import ident, table

if TYPE_CHECKING:
    from revetl.enrich.report import EnrichReport
    from revetl.model import Relation
    from revetl.project import Project
    from revetl.providers.grammar import ProviderSpec
    from revetl.warehouse.base import Warehouse

NAME = "provider_try"  # in the ledger, in place of a waterfall's
KEPT_AS = f"adhoc:{NAME}"
_MASKED = "***"


@dataclass(frozen=True, slots=True)
class PreparedLookup:
    """What would be sent, with *** for every credential, and the most that it may cost."""

    provider: str
    inputs: Mapping[str, str]
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any
    greatest_usd: Decimal


@dataclass(frozen=True, slots=True)
class LookupResult:
    """`asked` False: the ledger had an answer to the same question, which is shown and cost nothing. `verdict` is the
    ledger's: hit, miss, error, in_doubt. `reason` is why there is no answer, where there is none."""

    prepared: PreparedLookup
    asked: bool
    verdict: str
    http_status: int | None
    charged_usd: Decimal | None
    latency_ms: int | None
    values: Sequence[ProvidedValue]
    response: Any
    reason: str | None
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRequest:
    """`on_prepared` is shown the request before anything is sent; `ask` is then asked whether to go on, unless the cost
    is `agreed` to already or there is none."""

    name: str
    inputs: Mapping[str, str]
    agreed: bool = False
    ask: Callable[[], bool] | None = None
    on_prepared: Callable[[PreparedLookup], None] | None = None


def try_provider(project: Project, request: TryRequest, caller: Caller) -> LookupResult:
    """Reserved, intended, asked and written down as every paid call is: it counts in invoices, and an answer is not
    paid for twice. Its values belong to no record.

    Raises ConfigError (a name, an input or a credential that is not there) and GuardrailError (the cost was not agreed
    to) before anything is sent, and WarehouseError.
    """
    spec = _spec(project, request.name)
    inputs = _inputs(spec, request.inputs)
    project.refuse_missing_credentials([spec.name])
    prepared = prepare(project, spec, inputs)
    if request.on_prepared is not None:
        request.on_prepared(prepared)
    agreed = request.agreed or not prepared.greatest_usd or (request.ask is not None and request.ask())
    if not agreed:
        raise GuardrailError(NOT_AGREED)
    with caller.warehouse(project) as warehouse:
        create_all(warehouse)
        waterfall = _waterfall(spec, inputs)
        entity = relation(warehouse, f"adhoc_input__{caller.clock.now():%Y%m%d}_{secrets.token_hex(4)}")
        try:
            _put(warehouse, entity, waterfall, inputs)
            given = WaterfallInput(waterfall, entity, kept_as=KEPT_AS)
            report = ask_providers(project, warehouse, given, SharedBudget(None), None, "provider try", caller)
            return _result(warehouse, prepared, report, _hash(project, warehouse, given, caller))
        finally:
            with suppress(Exception):
                warehouse.execute(f"DROP TABLE IF EXISTS {table(entity)}")


def _hash(project: Project, warehouse: Warehouse, given: WaterfallInput, caller: Caller) -> str:
    """The question's name in the ledger."""
    scope = Scope(
        warehouse=warehouse,
        spec=given.spec,
        providers=project.providers,
        relation=given.relation,
        entity=KEPT_AS,
        run_id="",
        now=caller.clock.now(),
    )
    asked = RecordSelection(scope).population()
    return str(warehouse.rows(f"SELECT hash_0 FROM ({asked.sql}) AS asked", asked.params)[0][0])


def prepare(project: Project, spec: ProviderSpec, inputs: Mapping[str, str]) -> PreparedLookup:
    """ConfigError where the inputs can't stand in the request."""
    try:
        sent = render(spec, inputs) if spec.batch is None else render_batch(spec, spec.batch, [Lookup(inputs, "ref")])
    except UnusableInput as e:
        raise ConfigError(f"{spec.name} can't be asked with this: {e}") from None
    base_url = project.account(spec.vendor).base_url or spec.base_url
    query, headers, body = _masked(spec, sent)
    url = base_url.rstrip("/") + sent.path + (f"?{urlencode(query, safe='*', quote_via=quote)}" if query else "")
    return PreparedLookup(spec.name, inputs, sent.method, url, headers, body, spec.greatest_usd)


def _masked(spec: ProviderSpec, sent: OutgoingRequest) -> tuple[dict[str, str], dict[str, str], Any]:
    """Query, headers and body, as they are sent, with the place of the credential filled with ***."""
    query, headers = dict(sent.query), dict(sent.headers)
    body = sent.json if sent.form is None else dict(sent.form)
    name = spec.auth.name or ""
    match spec.auth.type:
        case "query":
            query[name] = _MASKED
        case "header":
            headers[name] = spec.auth.prefix + _MASKED
        case "body":
            body = {**(body or {}), name: _MASKED}
        case "bearer" | "oauth_client_credentials":
            headers["Authorization"] = f"Bearer {_MASKED}"
        case "basic":
            headers["Authorization"] = f"Basic {_MASKED}"
        case "none":
            pass
    return query, headers, body


def _spec(project: Project, name: str) -> ProviderSpec:
    if name not in project.providers:
        raise ConfigError(f"no provider {name!r}", hint=did_you_mean(name, [*project.providers]))
    return project.providers[name]


def _inputs(spec: ProviderSpec, given: Mapping[str, str]) -> dict[str, str]:
    """In the form that a list's are asked in, so that they are the same question."""
    for name in given:
        if name not in spec.inputs:
            raise ConfigError(f"{spec.name} has no input {name!r}", hint=did_you_mean(name, spec.inputs))
    kind: EntityKind = "person" if spec.entity == "person" else "company"
    country = given.get("country")
    found = {name: canonical(name, value, country=country, kind=kind) for name, value in given.items()}
    unusable = [name for name, value in found.items() if value is None]
    if unusable:
        raise ConfigError(f"{unusable[0]!r} is not what the input is for: a placeholder, or another kind of value")
    inputs = {name: value for name, value in found.items() if value}
    if not spec.can_ask(inputs):
        needs = " or ".join(" + ".join(group) for group in spec.sufficient)
        raise ConfigError(f"that is not enough to ask {spec.name}", hint=f"It needs {needs}.")
    return inputs


def _waterfall(spec: ProviderSpec, inputs: Mapping[str, str]) -> WaterfallSpec:
    """One stage, which wants all that the provider gives, of a record that holds none of it."""
    fields = {name: WantedField(column=f"wanted_{name}") for name in spec.outputs}
    columns = {name: f"given_{name}" for name in spec.inputs}
    stage = Stage(provider=spec.name)
    return WaterfallSpec(name=NAME, entity=NAME, key="key", inputs=columns, fields=fields, stages=(stage,))


def _put(warehouse: Warehouse, entity: Relation, spec: WaterfallSpec, inputs: Mapping[str, str]) -> None:
    wanted = [spec.column(name) for name in spec.fields]
    columns = [spec.key, *spec.inputs.values(), *wanted]
    create_table(warehouse, entity, [(name, "VARCHAR") for name in columns])
    row = [secrets.token_hex(8), *(inputs.get(name) for name in spec.inputs), *(None for _ in wanted)]
    names, marks = ", ".join(map(ident, columns)), ", ".join("?" for _ in columns)
    warehouse.execute(f"INSERT INTO {table(entity)} ({names}) VALUES ({marks})", row)


def _result(warehouse: Warehouse, prepared: PreparedLookup, report: EnrichReport, request_hash: str) -> LookupResult:
    counted = report.providers[prepared.provider]
    reason = report.stopped or report.denied.get(prepared.provider) or report.unavailable.get(prepared.provider)
    call = _call(warehouse, prepared.provider, request_hash)
    if call is None:
        why = reason or "nobody was asked: asked about before with other inputs, or never to be asked about"
        return LookupResult(prepared, False, "error", None, None, None, (), None, why, report.exit_code or 1)
    call_id, status, http_status, charged, latency, response = call
    values = _values(warehouse, call_id)
    return LookupResult(
        prepared,
        bool(counted.asked),
        status,
        http_status,
        charged,
        latency,
        values,
        response,
        reason,
        report.exit_code,
    )


def _call(
    warehouse: Warehouse, provider: str, request_hash: str
) -> tuple[str, str, int | None, Decimal | None, int | None, Any] | None:
    """The last outcome of this question, by whichever run it was asked."""
    rows = warehouse.rows(
        f"""
        SELECT c.call_id, c.status, c.http_status, c.charged_usd, c.latency_ms, c.response
        FROM {table(relation(warehouse, "enrichment_calls"))} c
        WHERE c.provider = ?
          AND c.status <> 'intent'
          AND c.request_hash = ?
        ORDER BY c.answered_at DESC
        LIMIT 1
        """,
        [provider, request_hash],
    )
    if not rows:
        return None
    call_id, status, http_status, charged, latency, response = rows[0]
    return (
        str(call_id),
        str(status),
        None if http_status is None else int(str(http_status)),
        None if charged is None else Decimal(str(charged)),
        None if latency is None else int(str(latency)),
        None if response is None else json.loads(str(response)),
    )


def _values(warehouse: Warehouse, call_id: str) -> list[ProvidedValue]:
    rows = warehouse.rows(
        f"""
        SELECT DISTINCT field, value, confidence, verification
        FROM {table(relation(warehouse, "enrichment_values"))}
        WHERE call_id = ?
          AND value IS NOT NULL
        ORDER BY field
        """,
        [call_id],
    )
    return [
        ProvidedValue(str(f), str(v), None if c is None else float(str(c)), None if w is None else _word(w))
        for f, v, c, w in rows
    ]


def _word(said: object) -> Any:
    return str(said)
