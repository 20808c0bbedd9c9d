"""A scripted week: forty incidents, some of which flap. Each is told once when it begins and once when it is over, and
nothing else is. The script is the oracle: it knows no rule, only when what was made wrong."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import TypeAdapter

from revetl.alerts.findings import NEWEST_RUNS, EndedRunRow, Facts, WaterfallBudget, findings
from revetl.alerts.incidents import Incident, changes
from revetl.alerts.spec import RuleSpec

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(minutes=15)
STEPS = 7 * 24 * 4
CLEAR_FOR = timedelta(hours=2)
BUDGET = WaterfallBudget(Decimal(10), None)

RULES: list[RuleSpec] = [
    TypeAdapter(RuleSpec).validate_python(rule | {"to": ["ops"], "clear_for": "2h"})
    for rule in (
        {"alert": "run failed"},
        {"alert": "rejected share", "over": 0.05},
        {"alert": "records waiting", "longer_than": "4h"},
        {"alert": "late", "older_than": "26h"},
        {"alert": "budget spent", "over": 0.8},
        {"alert": "provider down"},
    )
]


@dataclass(frozen=True)
class Scripted:
    """Something that is wrong from `begins` to `ends`. `flaps`: every second half hour it is not. `told_in`: the latest
    that it may be told after it begins: the next run, and how long it must have been so."""

    kind: str
    subject: str
    begins: datetime
    ends: datetime
    told_in: timedelta
    flaps: bool = False

    def wrong(self, at: datetime) -> bool:
        if not self.begins <= at < self.ends:
            return False
        return not self.flaps or int((at - self.begins) / timedelta(minutes=30)) % 2 == 0


def script(rng: random.Random) -> list[Scripted]:
    """Two incidents of one subject are a day apart."""
    found = []

    def add(kind: str, subject: str, day: float, hours: float, told_in_h: float, *, flaps: bool = False) -> None:
        begins = MONDAY + timedelta(days=day, hours=rng.randrange(8) + 1, minutes=rng.choice([0, 15, 30, 45]))
        ends = begins + timedelta(hours=hours)
        found.append(Scripted(kind, subject, begins, ends, timedelta(hours=told_in_h), flaps))

    for i in range(12):
        add("run failed", f"failing{i % 6}", rng.randrange(1, 3) + 3 * (i // 6), rng.choice([2, 5]), 1.25, flaps=i < 4)
    for i in range(8):
        add("rejected share", f"rejecting{i % 4}", rng.randrange(1, 3) + 3 * (i // 4), rng.choice([2, 6]), 1.25)
    for i in range(6):
        add("records waiting", f"waiting{i}", rng.randrange(1, 5), rng.choice([8, 20]), 5.5)
    for i in range(4):
        add("late", f"late{i}", rng.randrange(1, 4), 40, 27.5)
    for i in range(4):
        begins = MONDAY + timedelta(days=i + 1, hours=9 + i)
        found.append(Scripted("budget spent", "emails", begins, MONDAY + timedelta(days=i + 2), STEP))
    for i in range(6):
        add("provider down", f"vendor{i}.person", rng.randrange(1, 5), rng.choice([1, 4]), 0.25, flaps=i < 2)
    return found


class Week:
    """What the tables would hold at each moment."""

    def __init__(self, incidents: list[Scripted]) -> None:
        self.incidents = incidents
        self.runs: dict[str, list[EndedRunRow]] = {}
        self.well_at: dict[str, datetime] = {}
        self.free_at: dict[str, datetime] = {}
        self.syncs = sorted({i.subject for i in incidents if i.kind not in ("budget spent", "provider down")})
        self.syncs += ["always_well"]

    def facts(self, at: datetime) -> Facts:
        wrong = {(i.kind, i.subject) for i in self.incidents if i.wrong(at)}
        if at.minute in (0, 30):
            for name in self.syncs:
                self._run(name, at, wrong)
        providers = [f"vendor{i}.person" for i in range(6)]
        calls = {name: (40, 30 if ("provider down", name) in wrong else 3) for name in providers}
        spent = Decimal(9) if ("budget spent", "emails") in wrong else Decimal(2)
        return Facts(
            at,
            self.runs,
            self.well_at,
            self.free_at,
            spent={"emails": (spent, spent)},
            calls=calls,
            budgets={"emails": BUDGET},
        )

    def _run(self, name: str, at: datetime, wrong: set[tuple[str, str]]) -> None:
        if ("late", name) in wrong:
            return
        status = "failed" if ("run failed", name) in wrong else "done"
        counts = {"ok": 90, "rejected": 10} if ("rejected share", name) in wrong else {"ok": 99, "rejected": 1}
        waiting = 7 if ("records waiting", name) in wrong else 0
        row = EndedRunRow(name, f"{name}-{at:%d%H%M}", status, at, at, counts, waiting)
        runs = self.runs.setdefault(name, [])
        runs.insert(0, row)
        del runs[NEWEST_RUNS:]
        if row.well:
            self.well_at[name] = at
        if not waiting:
            self.free_at[name] = at


def test_every_incident_of_a_week_is_told_once_and_nothing_else_is() -> None:
    for seed in range(2):
        incidents = script(random.Random(seed))
        assert len(incidents) == 40
        assert sum(i.flaps for i in incidents) == 6
        week, held, told = Week(incidents), list[Incident](), list[tuple[datetime, str, Incident]]()
        for step in range(STEPS):
            at = MONDAY + step * STEP
            made = changes(RULES, held, findings(RULES, week.facts(at)), at)
            by_id = {i.incident_id: i for i in (*held, *made.opened, *made.changed)}
            told += [(at, message.news, by_id[message.incident_id]) for message in made.messages]
            held = [i for i in by_id.values() if i.recovered_at is None]
        counted = Counter((news, i.rule, i.subject) for _, news, i in told)
        expected = Counter((news, s.kind, s.subject) for s in incidents for news in ("opened", "recovered"))
        assert counted == expected, seed
        for scripted in incidents:
            (opened,) = [
                at
                for at, news, i in told
                if (news, i.rule, i.subject) == ("opened", scripted.kind, scripted.subject)
                and scripted.begins <= at <= scripted.begins + scripted.told_in
            ]
            (recovered,) = [
                at
                for at, news, i in told
                if (news, i.rule, i.subject) == ("recovered", scripted.kind, scripted.subject)
                and scripted.ends <= at + STEP * 4 <= scripted.ends + CLEAR_FOR + STEP * 8
            ]
            assert opened < recovered


def test_what_comes_back_before_it_was_over_is_the_same_incident() -> None:
    week = Week([Scripted("run failed", "x", MONDAY, MONDAY + timedelta(hours=1), STEP)])
    first = changes(RULES, [], findings(RULES, week.facts(MONDAY)), MONDAY)
    (incident,) = first.opened
    well = MONDAY + timedelta(hours=1)
    assert changes(RULES, [incident], findings(RULES, week.facts(well)), well).messages == ()
    later = MONDAY + CLEAR_FOR
    again = changes(RULES, [incident], findings(RULES, week.facts(later)), later)
    assert [(m.news, m.channel) for m in again.messages] == [("recovered", "ops")]
    seen = replace(incident, seen_at=later)
    assert changes(RULES, [seen], (), later + timedelta(hours=1)).messages == ()


def test_a_rule_that_is_taken_out_ends_its_incidents_and_tells_nobody() -> None:
    week = Week([Scripted("run failed", "x", MONDAY, MONDAY + timedelta(hours=1), STEP)])
    (incident,) = changes(RULES, [], findings(RULES, week.facts(MONDAY)), MONDAY).opened
    gone = changes([], [incident], (), MONDAY + STEP)
    assert (gone.messages, [i.recovered_at for i in gone.changed]) == ((), [MONDAY])
