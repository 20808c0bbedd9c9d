"""Which runs a person means: by an id, its beginning, its last characters, the id of an invocation, or `latest`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from revetl.errors import ConfigError
from revetl.model import RunRecord
from revetl.state import runs

if TYPE_CHECKING:
    from revetl.warehouse.base import Warehouse

LATEST = "latest"
_LISTED = 10


@dataclass(frozen=True, slots=True)
class NamedRuns:
    """One run, or all runs of one invocation, the newest first. `invocation_id`: None where a single run is meant."""

    runs: tuple[RunRecord, ...]
    invocation_id: str | None = None


def find_runs(warehouse: Warehouse, text: str, *, wrote: bool = False) -> NamedRuns:
    """ConfigError where nothing is named, or several are: those are listed. An invocation of one run is that run.
    `latest` is what `revetl runs` shows on top; `wrote`: the last one that wrote to a destination, or may have."""
    if text == LATEST:
        found = runs.newest_invocations(warehouse, 1, wrote=wrote)
        if not found:
            raise ConfigError("no run has written anything yet" if wrote else "nothing has run yet")
        return _all_of(found)
    like = runs.named_like(warehouse, text)
    exact = [run for run in like if run.run_id == text]
    if exact:
        return NamedRuns((exact[0],))
    candidates = [NamedRuns((run,)) for run in like if runs.names(text, run.run_id)]
    for invocation in dict.fromkeys(run.invocation_id for run in like if runs.names(text, run.invocation_id)):
        members = [run for run in like if run.invocation_id == invocation]
        if invocation == text:
            return _all_of(members)
        candidates.append(_all_of(members))
    distinct = _distinct(candidates)
    if len(distinct) == 1:
        return distinct[0]
    if not distinct:
        hint = "`revetl runs` lists them. At least four characters of an id are needed, or `latest`."
        raise ConfigError(f"no run has the id {text!r}", hint=hint)
    raise ConfigError(f"{text!r} fits {len(distinct):,} runs; name one", hint=_listing(distinct))


def find_run(warehouse: Warehouse, text: str) -> RunRecord:
    """The one run that is meant. ConfigError as `find_runs`, and where an invocation of several runs is named."""
    named = find_runs(warehouse, text)
    if len(named.runs) > 1:
        message = f"{text!r} names a `revetl {named.runs[0].command}` of {len(named.runs)} runs; name one"
        raise ConfigError(message, hint=_listing([NamedRuns((run,)) for run in named.runs]))
    return named.runs[0]


def _all_of(members: Sequence[RunRecord]) -> NamedRuns:
    return NamedRuns(tuple(members), members[0].invocation_id if len(members) > 1 else None)


def _distinct(candidates: Iterable[NamedRuns]) -> list[NamedRuns]:
    seen: dict[tuple[str, ...], NamedRuns] = {}
    for named in candidates:
        seen.setdefault(tuple(run.run_id for run in named.runs), named)
    return list(seen.values())


def _listing(found: Sequence[NamedRuns]) -> str:
    lines = [
        f"{named.invocation_id or named.runs[0].run_id}  {named.runs[0].command}"
        f" {named.runs[0].subject or '' if named.invocation_id is None else f'of {len(named.runs)} runs'}"
        for named in found[:_LISTED]
    ]
    more = [f"… {len(found) - _LISTED:,} more"] if len(found) > _LISTED else []
    return "\n    ".join([*lines, *more])
