"""What is wrong now, by the tables. Counts, names of syncs and ids of runs; no value and no key of a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from revetl.alerts.spec import (
    BudgetSpent,
    ProviderDown,
    RecordsWaiting,
    RejectedShare,
    RuleSpec,
    RunFailed,
    SyncLate,
    TimesMissed,
)
from revetl.clock import naive
from revetl.state.schema import relation
from revetl.state.spend import day_of
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

WELL = ("done", "partial")
_LOOK_BACK = timedelta(days=31)
NEWEST_RUNS = 200  # of each subject that are looked at one by one
_HANDLED = ("ok", "accepted", "rejected", "unknown")
_CALLS_OF = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One condition that holds now. `rule` and `subject` name its incident. `said`: one sentence. `command`: what shows
    it. `since`: from when on it is known to hold."""

    rule: str
    subject: str
    said: str
    command: str
    since: datetime
    count: int = 0


@dataclass(frozen=True, slots=True)
class WaterfallBudget:
    """Limits in US dollars; None: no limit."""

    per_day_usd: Decimal | None = None
    per_month_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class EndedRunRow:
    """What is looked at of one run. Times are aware, UTC."""

    subject: str
    run_id: str
    status: str
    began_at: datetime
    ended_at: datetime
    counts: Mapping[str, int]
    waiting: int

    @property
    def well(self) -> bool:
        return self.status in WELL


@dataclass(frozen=True, slots=True)
class Facts:
    """The tables, read once for all rules.

    runs     subject → its newest ended runs, `NEWEST_RUNS` of the last 31 days, the newest first
    well_at  subject → when the last that went well ended
    free_at  subject → when the last ended after which nothing waited
    due      subject → (status, due_at, ended_at, missed) of its scheduled runs, the newest first
    spent    waterfall → (today, this month) in US dollars
    calls    provider → (calls, bad ones) of the last hour
    budgets  waterfall → its limits, as declared
    """

    now: datetime
    runs: Mapping[str, Sequence[EndedRunRow]] = field(default_factory=dict)
    well_at: Mapping[str, datetime] = field(default_factory=dict)
    free_at: Mapping[str, datetime] = field(default_factory=dict)
    due: Mapping[str, Sequence[tuple[str, datetime, datetime | None, int]]] = field(default_factory=dict)
    spent: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    calls: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    budgets: Mapping[str, WaterfallBudget] = field(default_factory=dict)


def read_facts(warehouse: Warehouse, now: datetime, budgets: Mapping[str, WaterfallBudget]) -> Facts:
    """Tables that are not there hold nothing."""
    there = warehouse.tables(warehouse.state_schema)
    has_runs = "runs" in there
    return Facts(
        now,
        _runs(warehouse, now) if has_runs else {},
        _last(warehouse, now, "status IN ('done', 'partial')") if has_runs else {},
        _last(warehouse, now, "(waiting IS NULL OR waiting = '{}')") if has_runs else {},
        _due(warehouse, now) if "scheduled_runs" in there else {},
        _spent(warehouse, now) if "enrichment_spend" in there else {},
        _calls(warehouse, now) if "enrichment_calls" in there else {},
        budgets,
    )


# Of the table `runs`. What was interrupted goes on with the next run.
_ENDED = """
    finished_at > ?
    AND subject IS NOT NULL
    AND command <> 'rollback'
    AND status <> 'interrupted'
"""


def _runs(warehouse: Warehouse, now: datetime) -> dict[str, list[EndedRunRow]]:
    found: list[Any] = warehouse.rows(
        f"""
        SELECT subject, run_id, status, started_at, finished_at, counts, waiting
        FROM (
            SELECT
                subject, run_id, status, started_at, finished_at, counts, waiting,
                row_number() OVER (PARTITION BY subject ORDER BY started_at DESC, run_id DESC) AS place
            FROM {table(relation(warehouse, "runs"))}
            WHERE {_ENDED}
        ) AS newest
        WHERE place <= {NEWEST_RUNS}
        ORDER BY started_at DESC, run_id DESC
        """,
        [naive(now - _LOOK_BACK)],
    )
    rows: dict[str, list[EndedRunRow]] = {}
    for subject, run_id, status, began, ended, counts, waiting in found:
        waits = sum(json.loads(waiting or "{}").values())
        row = EndedRunRow(subject, run_id, status, _aware(began), _aware(ended), json.loads(counts or "{}"), int(waits))
        rows.setdefault(subject, []).append(row)
    return rows


def _last(warehouse: Warehouse, now: datetime, condition: str) -> dict[str, datetime]:
    """Subject → when its last run that is so ended."""
    found: list[Any] = warehouse.rows(
        f"""
        SELECT subject, max(finished_at)
        FROM {table(relation(warehouse, "runs"))}
        WHERE {_ENDED}
          AND {condition}
        GROUP BY subject
        """,
        [naive(now - _LOOK_BACK)],
    )
    return {str(subject): _aware(at) for subject, at in found}


def _due(warehouse: Warehouse, now: datetime) -> dict[str, list[tuple[str, datetime, datetime | None, int]]]:
    found: list[Any] = warehouse.rows(
        f"""
        SELECT schedule, status, due_at, ended_at, missed
        FROM {table(relation(warehouse, "scheduled_runs"))}
        WHERE due_at > ?
        ORDER BY due_at DESC
        """,
        [naive(now - _LOOK_BACK)],
    )
    rows: dict[str, list[tuple[str, datetime, datetime | None, int]]] = {}
    for schedule, status, due_at, ended_at, missed in found:
        subject = str(schedule).partition(":")[2]
        ended = None if ended_at is None else _aware(ended_at)
        rows.setdefault(subject, []).append((status, _aware(due_at), ended, int(missed or 0)))
    return rows


def _spent(warehouse: Warehouse, now: datetime) -> dict[str, tuple[Decimal, Decimal]]:
    today = day_of(now)
    found = warehouse.rows(
        f"""
        SELECT
            waterfall,
            sum(CASE WHEN day = ? THEN committed_usd + held_usd ELSE 0 END),
            sum(committed_usd + held_usd)
        FROM {table(relation(warehouse, "enrichment_spend"))}
        WHERE day >= ?
        GROUP BY waterfall
        """,
        [today, f"{today[:7]}-01"],
    )
    return {str(name): (Decimal(str(day)), Decimal(str(month))) for name, day, month in found}


def _calls(warehouse: Warehouse, now: datetime) -> dict[str, tuple[int, int]]:
    found = warehouse.rows(
        f"""
        SELECT
            provider,
            count(DISTINCT call_id),
            count(DISTINCT CASE WHEN status IN ('error', 'in_doubt') THEN call_id END)
        FROM {table(relation(warehouse, "enrichment_calls"))}
        WHERE answered_at > ?
          AND status <> 'intent'
        GROUP BY provider
        """,
        [naive(now - _CALLS_OF)],
    )
    return {str(name): (int(str(calls)), int(str(bad))) for name, calls, bad in found}


def findings(rules: Sequence[RuleSpec], facts: Facts) -> list[Finding]:
    """What the rules find, each subject of a rule once, in their order."""
    found: dict[tuple[str, str], Finding] = {}
    for rule in rules:
        look: Callable[[Any, Facts], Iterator[Finding]] = _LOOKS[type(rule)]
        for finding in look(rule, facts):
            if rule.covers(finding.subject):
                found.setdefault((finding.rule, finding.subject), finding)
    return list(found.values())


def _run_failed(rule: RunFailed, facts: Facts) -> Iterator[Finding]:
    for subject in sorted({*facts.runs, *facts.due}):
        last = next(iter(facts.runs.get(subject, ())), None)
        if last is not None and not last.well:
            since = _since(facts.runs[subject], lambda run: not run.well)
            said = "was stopped by a guardrail or a budget" if last.status == "stopped" else "failed"
            yield Finding(
                rule=rule.alert,
                subject=subject,
                said=f"the last run {said}",
                command=f"revetl runs show {last.run_id}",
                since=since,
                count=sum(1 for run in facts.runs[subject] if run.ended_at >= since),
            )
            continue
        # A mistake in a file, or credentials: the command ended before a run began.
        ended = [
            row for row in facts.due.get(subject, ()) if row[2] is not None and row[0] not in ("missed", "skipped")
        ]
        if ended and ended[0][0] in ("failed", "stopped"):
            ended_at = ended[0][2]
            if ended_at is not None and (last is None or ended_at > last.ended_at):
                said = "the last scheduled run ended before it began"
                yield Finding(rule=rule.alert, subject=subject, said=said, command="revetl schedule", since=ended_at)


def _rejected_share(rule: RejectedShare, facts: Facts) -> Iterator[Finding]:
    def share(run: EndedRunRow) -> float:
        handled = sum(run.counts.get(word, 0) for word in _HANDLED)
        return run.counts.get("rejected", 0) / handled if handled else 0.0

    def over(run: EndedRunRow) -> bool:
        return share(run) > rule.over and run.counts.get("rejected", 0) >= rule.at_least

    for subject, runs in facts.runs.items():
        # A run that had nothing to send says nothing of it.
        last = next((run for run in runs if any(run.counts.get(word) for word in _HANDLED)), None)
        if last is not None and over(last):
            count = last.counts.get("rejected", 0)
            yield Finding(
                rule=rule.alert,
                subject=subject,
                said=f"{count:,} records were rejected, {share(last):.0%} of the last run",
                command=f"revetl runs show {last.run_id}",
                since=last.ended_at,
                count=count,
            )


def _records_waiting(rule: RecordsWaiting, facts: Facts) -> Iterator[Finding]:
    for subject, runs in facts.runs.items():
        if runs[0].waiting < rule.at_least:
            continue
        since = _since(runs, lambda run: run.waiting >= rule.at_least)
        if since == runs[-1].ended_at and len(runs) >= NEWEST_RUNS:
            # It goes back further than what was read. Fewer than `at_least` before count as so many.
            since = facts.free_at.get(subject, facts.now - _LOOK_BACK)
        if facts.now - since > rule.longer_than:
            yield Finding(
                rule=rule.alert,
                subject=subject,
                said=f"{runs[0].waiting:,} records wait, and some have since {_day(since)}",
                command=f"revetl retry -s {subject} --dry-run",
                since=since,
                count=runs[0].waiting,
            )


def _late(rule: SyncLate, facts: Facts) -> Iterator[Finding]:
    for subject, runs in facts.runs.items():
        since = facts.well_at.get(subject, runs[-1].began_at)
        if facts.now - since > rule.older_than:
            said = f"no run ended well since {_day(since)}"
            yield Finding(rule=rule.alert, subject=subject, said=said, command="revetl schedule", since=since)


def _times_missed(rule: TimesMissed, facts: Facts) -> Iterator[Finding]:
    for subject, rows in facts.due.items():
        well = facts.well_at.get(subject)
        missed = [row for row in rows if row[0] == "missed" and (well is None or row[1] > well)]
        if missed:
            count = sum(row[3] for row in missed)
            said = f"{count:,} times of its schedule were missed: nobody served"
            since = missed[-1][1]
            yield Finding(
                rule=rule.alert, subject=subject, said=said, command="revetl schedule", since=since, count=count
            )


def _budget_spent(rule: BudgetSpent, facts: Facts) -> Iterator[Finding]:
    for waterfall, budget in facts.budgets.items():
        day, month = facts.spent.get(waterfall, (Decimal(0), Decimal(0)))
        for spent, limit, span in ((day, budget.per_day_usd, "day"), (month, budget.per_month_usd, "month")):
            if limit and spent > limit * Decimal(str(rule.over)):
                said = f"${spent:,.2f} of ${limit:,.2f} for the {span} are spent or reserved"
                command = f"revetl enrich -w {waterfall} --dry-run"
                yield Finding(rule=rule.alert, subject=waterfall, said=said, command=command, since=facts.now)
                break


def _provider_down(rule: ProviderDown, facts: Facts) -> Iterator[Finding]:
    for provider, (calls, bad) in facts.calls.items():
        if calls >= rule.calls and bad > calls * rule.over:
            said = f"{bad:,} of {calls:,} calls of the last hour had an error or no answer"
            yield Finding(
                rule=rule.alert, subject=provider, said=said, command="revetl debug", since=facts.now, count=bad
            )


_LOOKS: Mapping[type[Any], Callable[[Any, Facts], Iterator[Finding]]] = {
    RunFailed: _run_failed,
    RejectedShare: _rejected_share,
    RecordsWaiting: _records_waiting,
    SyncLate: _late,
    TimesMissed: _times_missed,
    BudgetSpent: _budget_spent,
    ProviderDown: _provider_down,
}


def _since(runs: Sequence[EndedRunRow], holds: Callable[[EndedRunRow], bool]) -> datetime:
    """When the first of the newest runs ended that all are so."""
    last = runs[0]
    for run in runs:
        if not holds(run):
            break
        last = run
    return last.ended_at


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
