"""Paid answers that the warehouse could not be given: a file for each run, written when a connection is lost or the
database's disk is full, and removed once its answers are in the ledger.

Which answer is in the ledger already is seen by its outcome row: outcome, values and money are one transaction, so
where that row is, all is. A COMMIT whose answer was lost is therefore looked up and not guessed.

A file holds personal data. It is readable by its owner only (0600, in a folder 0700 that git ignores), and appears
whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from revetl.context import RunContext
from revetl.enrich.execution.budget import ZERO
from revetl.errors import ConfigError
from revetl.privacy.suppressions import OBJECTED, Suppressions
from revetl.state import heartbeats, locks, spend
from revetl.state.calls import CallOutcome, PaidCall, append_outcomes, statuses_of
from revetl.state.values import ValueRow, append_values

T = TypeVar("T")

_FOLDER = "answers"
_LOCK = "enrich: kept answers"
_UNKNOWN = ("intent", "in_doubt")


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A call with its outcome and the values that its answer gave. `objected`: the people behind it, where the vendor
    says that they asked not to be processed."""

    call: PaidCall
    outcome: CallOutcome
    values: Sequence[ValueRow] = ()
    objected: Sequence[Mapping[str, str | None]] = ()


class AnswerSpool:
    """The files of one project and target. `state_dir` None: nothing is kept."""

    def __init__(self, state_dir: Path | None) -> None:
        self._folder = None if state_dir is None else state_dir / _FOLDER

    def take_room(self, run_id: str, octets: int) -> None:
        """So much of the disk, in the file that `keep` of this run writes into: there it needs no more. OSError where
        there is none."""
        if self._folder is None:
            return
        self._make_folder(self._folder)
        draft = self._draft(run_id)
        draft.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, octets)
                else:
                    file.write(bytes(octets))
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def give_room_back(self, run_id: str) -> None:
        if self._folder is not None:
            self._draft(run_id).unlink(missing_ok=True)

    def keep(self, run_id: str, answers: Sequence[KeptAnswer]) -> Path | None:
        """Durable when this returns, beside what is kept of this run already. None where nothing is kept. OSError where
        the disk does not take it."""
        if self._folder is None or not answers:
            return None
        self._make_folder(self._folder)
        path = self._folder / f"{run_id}.jsonl"
        kept = path.read_bytes() if path.exists() else b""
        lines = "".join(json.dumps(asdict(each), default=_as_json) + "\n" for each in answers)
        draft = self._draft(run_id)
        # In a folder that is ours alone. What room was taken is not given back first: another would have it.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(kept + lines.encode())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        return path

    def paths(self) -> list[Path]:
        return [] if self._folder is None else sorted(self._folder.glob("*.jsonl"))

    def partial(self) -> list[Path]:
        """What a run that died in the midst of writing left behind."""
        return [] if self._folder is None else sorted(self._folder.glob("*.partial"))

    def _draft(self, run_id: str) -> Path:
        return (self._folder or Path()) / f"{run_id}.partial"

    @staticmethod
    def _make_folder(folder: Path) -> None:
        for each in (folder.parent.parent, folder.parent, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignored = folder.parent.parent / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n")


def read_kept(path: Path) -> list[KeptAnswer]:
    """ConfigError, without a value of it, where it is no such file."""
    try:
        return [_answer(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (ValueError, KeyError, TypeError, ArithmeticError):
        hint = "Paid answers of an earlier run are in it. Move it away to go on without: then these calls are in doubt."
        raise ConfigError(f"{path} can't be read", hint=hint) from None


async def write_kept(ctx: RunContext, suppressions: Suppressions, zone: tzinfo = UTC) -> int:
    """Writes what is kept into the ledger, each answer once, and removes the files. How many answers were written. The
    state tables must be there. Safe to repeat after any failure, and while other runs do the same."""
    spool, written = AnswerSpool(ctx.state_dir), 0
    for path in spool.partial():
        if heartbeats.dead(ctx.warehouse, [path.stem], ctx.clock.now()):
            path.unlink(missing_ok=True)
    for path in spool.paths():
        try:
            answers = read_kept(path)
        except FileNotFoundError:
            continue  # another run was first
        locks.ensure(ctx.warehouse, [_LOCK])
        written += await write_answers(ctx, suppressions, answers, zone)
        path.unlink(missing_ok=True)
    return written


async def write_answers(
    ctx: RunContext, suppressions: Suppressions, answers: Sequence[KeptAnswer], zone: tzinfo = UTC
) -> int:
    """Those that the ledger lacks, in one transaction. `zone`: the project's, whose days money is counted by."""
    locks.ensure(ctx.warehouse, [_LOCK])
    return await locks.locked(ctx.warehouse, ctx.clock, [_LOCK], lambda: _write(ctx, suppressions, answers, zone))


def _write(ctx: RunContext, suppressions: Suppressions, answers: Sequence[KeptAnswer], zone: tzinfo) -> int:
    warehouse = ctx.warehouse
    suppressions.refresh()
    lacking = _lacking(answers, statuses_of(warehouse, [each.call for each in answers]))
    left = [_without_erased(each, suppressions) for each in lacking]
    append_outcomes(warehouse, [(each.call, each.outcome) for each in left])
    for each in left:
        append_values(warehouse, each.values)
        for identity in each.objected:
            suppressions.add(identity, OBJECTED, ctx.clock.now())
        if each.outcome.charged_usd is not None:
            # What was reserved for verifying is given back for the whole run, by whoever takes it up.
            place = (each.call.provider, spend.day_of(each.call.asked_at, zone))
            freed = each.outcome.charged_usd - each.call.expected_usd
            spend.add(warehouse, each.call.run_id, each.call.waterfall, {place: (freed, ZERO)})
    return len(left)


def _lacking(answers: Sequence[KeptAnswer], statuses: Mapping[str, set[str]]) -> Iterator[KeptAnswer]:
    """Where there is no intent, its COMMIT never took place and nothing left. An outcome that is known stands; one in
    doubt says no more than that there is one, unless it names the vendor's job."""
    for each in answers:
        found = statuses.get(each.call.call_id, set())
        if not found or not found.issubset(_UNKNOWN):
            continue
        if each.outcome.status == "in_doubt" and "in_doubt" in found and each.outcome.request_id is None:
            continue
        yield each


def _without_erased(answer: KeptAnswer, suppressions: Suppressions) -> KeptAnswer:
    """What was paid stays; of somebody who was erased since, no more than an alias."""
    keys = [suppressions.alias(key) if suppressions.is_erased(key) else key for key in answer.call.keys]
    values = [v for v in answer.values if not suppressions.is_erased(v.key, [v.value])]
    if keys == list(answer.call.keys) and len(values) == len(answer.values):
        return answer
    call, outcome = replace(answer.call, keys=tuple(keys)), replace(answer.outcome, response=None)
    if set(keys).isdisjoint(answer.call.keys):
        call = replace(call, request_hash=suppressions.alias(call.request_hash))
    return KeptAnswer(call, outcome, values, answer.objected)


def _as_json(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _answer(data: Mapping[str, Any]) -> KeptAnswer:
    call, outcome = data["call"], data["outcome"]
    return KeptAnswer(
        _made(PaidCall, {**call, "keys": tuple(call["keys"]), "expected_usd": Decimal(call["expected_usd"])}),
        _made(CallOutcome, {**outcome, **{name: _decimal(outcome[name]) for name in _MONEY}}),
        [_made(ValueRow, value) for value in data["values"]],
        data["objected"],
    )


_MONEY = ("charged_usd", "credits_charged", "credits_remaining")
_MOMENTS = ("asked_at", "answered_at", "observed_at", "expires_at")


def _made(type_: type[T], data: Mapping[str, Any]) -> T:
    # T is one of three dataclasses, which a type variable can't say.
    given = {field.name: data[field.name] for field in fields(type_)}  # type: ignore[arg-type]  # callers give a dataclass
    for name in _MOMENTS:
        if given.get(name) is not None:
            given[name] = datetime.fromisoformat(given[name])
    return type_(**given)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
