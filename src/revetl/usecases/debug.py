"""`revetl debug`: is everything there, and does it let us in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from revetl.destinations.capabilities import MakesFields, ProbesAccess, TellsScopes, TellsTls, TokenScopes
from revetl.errors import ConfigError, Denied, GuardrailError, RevetlError
from revetl.project.dbt import NOT_HERE, dbt_versions
from revetl.usecases import exit_codes
from revetl.usecases.caller import Caller
from revetl.usecases.renames import orphaned, what_to_do

if TYPE_CHECKING:
    from revetl.model import SyncSpec
    from revetl.project import Project


NOT_TOLD = "which ones the token has, the vendor does not say"


@dataclass(frozen=True, slots=True)
class SetupCheck:
    """`exit_code` is 0 where it passed, otherwise what a command that needs it would end with."""

    what: str
    detail: str
    exit_code: int = 0

    @property
    def passed(self) -> bool:
        return self.exit_code == 0


def check_setup(project: Project, caller: Caller) -> Iterator[SetupCheck]:
    """dbt, the warehouse, every destination (one cheap authenticated call) and every provider's key, one by one as they
    are done. Providers are not called: their calls cost money. A check that fails raises nothing."""
    yield _check("dbt", lambda: _dbt(project))
    yield _check(f"warehouse ({project.profile.type})", lambda: _warehouse(project, caller))
    yield _check("connectors", _connectors)
    answering = set()
    for name in project.connections.names("destinations"):
        destination = _check(f"destination {name}", partial(_destination, project, name))
        answering |= {name} if destination.passed else set()
        yield destination
    yield from _syncs(project, answering)
    for vendor in dict.fromkeys(spec.vendor for spec in project.providers.values()):
        yield _check(f"provider {vendor}", partial(_provider, project, vendor))


def _syncs(project: Project, answering: Collection[str]) -> Iterator[SetupCheck]:
    """Which rows go where, sync by sync, and whether the account lets them in; and state that no sync is left for."""
    try:
        specs = project.syncs(verified=False)
    except RevetlError as e:
        yield SetupCheck("syncs", str(e), e.exit_code)
        return
    for spec in specs:
        yield _check(f"sync {spec.name}", partial(_sync, project, spec, probe=spec.destination in answering))
    for sentence in project.incomplete_sagas():
        yield SetupCheck("sagas", sentence)
    try:
        with Caller().warehouse(project) as warehouse:
            left = orphaned(project, warehouse) if warehouse.tables(warehouse.state_schema) else []
    except RevetlError:
        return  # that the warehouse does not open is told above
    for orphan in left:
        yield SetupCheck(f"state of {orphan.sync}", what_to_do(orphan))


def _sync(project: Project, spec: SyncSpec, *, probe: bool) -> str:
    """The relation and the account, and what keeps it from being sent. Denied where the account refuses any of it."""
    kind = project.connections.destination_type(spec.destination)
    options = project.connections.output("destinations", spec.destination).data
    account = options.get("base_url") or f"the account of target {project.target}"
    went = f"{project.named(spec)} → {spec.destination} ({kind}, {account}) {spec.object}"
    if probe:
        lacking, scopes = asyncio.run(access(project, spec))
        went += f"; it {scopes_in_words(scopes)}" if scopes is not None and scopes.needed else ""
        if lacking:
            raise Denied("\n".join([went, *lacking]))
    try:
        project.syncs([f"fqn:{spec.name}"])
    except GuardrailError as e:
        # Before the first build nothing is sent, and the set-up is whole all the same: `revetl check` ends with 3.
        return f"{went}\n{str(e).partition(chr(10))[2].strip()}"
    return went


async def access(project: Project, spec: SyncSpec) -> tuple[list[str], TokenScopes | None]:
    """What of all that this sync does the account would refuse, a sentence each; and the scopes that it takes beside
    those of the token, where they have names. Changes nothing; safe to repeat."""
    async with project.destination(spec.destination) as destination:
        found: list[str] = []
        makes_fields = False
        if isinstance(destination, MakesFields) and spec.create_properties:
            fields = (await destination.describe(spec.object)).fields
            makes_fields = not fields.keys() >= {*spec.create_properties}
        if isinstance(destination, ProbesAccess):
            found = await destination.probe(spec.object, spec.created_through)
            if isinstance(destination, MakesFields) and makes_fields:
                try:
                    await destination.try_making_field(spec.object)
                except Denied as e:
                    found = [*dict.fromkeys((*found, str(e)))]
        if not isinstance(destination, TellsScopes):
            return found, None
        named = [a.object for a in spec.associate]
        named += [rule.references.object for rule in spec.fields.values() if rule.references is not None]
        others = [*dict.fromkeys(filter(None, named))]
        asked = partial(destination.scopes, spec.object, spec.created_through, makes_fields=makes_fields)
        scopes = await asked(others=others)
        if scopes.missing and others:
            # Its own were tried above, since an older scope of another name may let the same in. Those of others are
            # known by their names alone.
            own = (await asked(others=())).needed
            if of_others := [scope for scope in scopes.missing if scope not in own]:
                found = [
                    *found,
                    f"for the links and references to {' and '.join(others)}: the token lacks {' '.join(of_others)}",
                ]
        return found, scopes


def scopes_in_words(scopes: TokenScopes) -> str:
    needed = f"takes the scopes {' '.join(scopes.needed)}"
    if scopes.granted is None:
        return f"{needed}; {NOT_TOLD}"
    if not scopes.missing:
        return f"{needed}, and the token has them"
    has = " ".join(sorted(scopes.granted)) or "none"
    return f"{needed}; the token has {has}; not among them: {' '.join(scopes.missing)}"


def exit_code(checks: Iterable[SetupCheck]) -> int:
    return exit_codes.worst(check.exit_code for check in checks)


def _check(what: str, look: Callable[[], str]) -> SetupCheck:
    try:
        return SetupCheck(what, look())
    except RevetlError as e:
        return SetupCheck(what, str(e), e.exit_code)


def _dbt(project: Project) -> str:
    dbt = project.dbt()
    if dbt is not None:
        return dbt_versions(dbt, project.profile.type)
    if project.dbt_is_elsewhere:
        return f"elsewhere; its artifacts are read from {project.artifacts.users}"
    raise ConfigError("there is no dbt here", hint=NOT_HERE)


def _warehouse(project: Project, caller: Caller) -> str:
    with caller.warehouse(project) as warehouse:
        warehouse.rows("SELECT 1")
    return f"target {project.target} opens"


def _connectors() -> str:
    """The types that connections.yml may name; of those that come with another package, which one."""
    from revetl.destinations.registry import connectors

    return ", ".join(c.type if c.entry is None else f"{c.type} ({c.brought_by})" for c in connectors().values())


def _destination(project: Project, name: str) -> str:
    async def check() -> str:
        async with project.destination(name) as destination:
            said = await destination.check()
            agreed = destination.tls_version if isinstance(destination, TellsTls) else None
            return said if agreed is None else f"{said}; {agreed.replace('TLSv', 'TLS ')}"

    return asyncio.run(check())


def _provider(project: Project, vendor: str) -> str:
    names = [name for name, spec in project.providers.items() if spec.vendor == vendor]
    project.refuse_missing_credentials(names)
    account = project.account(vendor)
    key = "key present" if any(project.providers[name].auth.needs for name in names) else "no key needed"
    return f"{key}, {account.base_url or 'the vendor’s own address'}"
