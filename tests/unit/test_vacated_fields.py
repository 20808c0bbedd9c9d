"""A circle of unique values that stops between "emptied" and "given its value": whoever takes back afterwards gives
each person the address that stood there before us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from revetl.errors import Ambiguous, Unavailable
from revetl.model import Change
from revetl.state.runs import list_runs
from revetl.sync.disconnect.taking_back import Leaving
from revetl.sync.drift.comparison import EMPTIED_BY_US
from revetl.sync.drift.resolution import DriftResolution
from revetl.sync.rollback.judge import EMPTIED_SINCE
from revetl.sync.rollback.rolling_back import RollbackReport
from tests.support.sync_bench import COLUMNS, Bench, Row, drift
from tests.unit.test_sync_disconnect import left
from tests.unit.test_sync_rollback import roll_back_run

Emails = dict[str, str | None]
DDL = "golden_id VARCHAR, email VARCHAR, firstname VARCHAR"
PEOPLE = {"a": "a@x.io", "b": "b@x.io", "c": "c@x.io"}
CIRCLE = {"a": "b@x.io", "b": "c@x.io", "c": "a@x.io"}


class Died(BaseException):
    """As a process that is gone."""


class Circle:
    """Three contacts of others are adopted, and the model then moves their addresses in a circle. `after`: how many
    batches are written before the work stops."""

    def __init__(
        self,
        *,
        away: bool = False,
        unique: Sequence[str] = ("email",),
        adopted: bool = True,
        spec: dict[str, Any] | None = None,
    ) -> None:
        self.bench, self.away = Bench(), away
        self.bench.sync_as(**spec or {})
        destination = self.bench.destination
        destination.unique, destination.batch_rows, destination.concurrency = set(unique), 1, 1
        self.ids = (
            {key: destination.make(email=email, firstname=key) for key, email in PEOPLE.items()} if adopted else {}
        )
        self.wants(PEOPLE)
        self.bench.run()
        if not adopted:
            self.ids = {str(r["firstname"]): id_ for id_, r in destination.records.items()}

    def wants(self, emails: Emails) -> None:
        columns = self.bench.spec.columns
        rows: list[Row] = [(key, email, key, None)[: len(columns)] for key, email in emails.items()]
        self.bench.source(rows, ", ".join(f"{name} VARCHAR" for name in columns))

    def emails(self) -> Emails:
        return {key: _text(self.bench.destination.records[id_]["email"]) for key, id_ in self.ids.items()}

    def stops(self, after: int, work: Callable[[], object]) -> None:
        """Dies at the answer of a batch, or finds the destination away at the next."""
        seen = list[object]()

        def die(changes: Sequence[Change]) -> None:
            seen.append(changes)
            if len(seen) == after:
                raise Died

        def be_away(changes: Sequence[Change]) -> None:
            seen.append(changes)
            if len(seen) > after:
                raise Unavailable("away")

        destination = self.bench.destination
        if self.away:
            destination.before_write = be_away
            work()
        else:
            destination.after_write = die
            with pytest.raises(Died):
                work()
        destination.before_write = destination.after_write = lambda _: None
        assert len(seen) >= after

    def roll_back(self, run_id: str) -> RollbackReport:
        return roll_back_run(self.bench, run_id)

    def last_run(self) -> str:
        return list_runs(self.bench.warehouse, 1)[0].run_id

    def move(self) -> str:
        self.wants(CIRCLE)
        self.bench.run()
        assert self.emails() == CIRCLE
        return self.last_run()

    def half_move(self, after: int = 1) -> str:
        """The run that moves them stops. Its id."""
        self.wants(CIRCLE)
        self.stops(after, self.bench.run)
        return self.last_run()


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def only(reports: RollbackReport) -> tuple[str, int, list[str]]:
    return reports.status, reports.exit_code, [reason for reason, _, _ in reports.plan.reasons]


STOPS = [(False, 1), (False, 2), (False, 3), (True, 1)]


@pytest.mark.parametrize(("away", "after"), STOPS)
def test_a_rollback_that_stops_anywhere_is_ended_by_the_next(away: bool, after: int) -> None:
    circle = Circle(away=away)
    moved = circle.move()
    circle.stops(after, lambda: circle.roll_back(moved))
    circle.roll_back(moved)
    assert circle.emails() == PEOPLE
    assert circle.bench.run().counts == {}, "the model still holds the circle: what was restored stays"
    circle.bench.warehouse.close()


@pytest.mark.parametrize(("away", "after"), STOPS)
def test_a_disconnect_that_stops_anywhere_is_ended_by_the_next(away: bool, after: int) -> None:
    circle = Circle(away=away)
    circle.move()
    circle.stops(after, lambda: left(circle.bench, Leaving.CLEAR))
    report = left(circle.bench, Leaving.CLEAR)
    assert (report.exit_code, report.disconnected, circle.emails()) == (0, True, PEOPLE)
    circle.bench.warehouse.close()


@pytest.mark.parametrize("ended", [False, True], ids=["at once", "after a run that ended it"])
@pytest.mark.parametrize(("away", "after"), STOPS)
def test_a_disconnect_after_a_run_that_stopped_gives_back_what_stood(away: bool, after: int, ended: bool) -> None:
    circle = Circle(away=away)
    circle.half_move(after)
    if ended:
        circle.bench.run()
        assert circle.emails() == CIRCLE
    assert left(circle.bench, Leaving.CLEAR).disconnected
    assert circle.emails() == PEOPLE
    circle.bench.warehouse.close()


def test_the_run_that_ended_it_is_rolled_back_to_what_stood_before_it_was_emptied() -> None:
    circle = Circle()
    circle.half_move()
    assert list(circle.emails().values()).count(None) == 1
    circle.bench.run()
    circle.roll_back(circle.last_run())
    assert circle.emails() == PEOPLE


def test_a_rollback_of_the_rollback_gives_back_what_it_had_emptied() -> None:
    circle = Circle()
    moved = circle.move()
    circle.stops(1, lambda: circle.roll_back(moved))
    circle.roll_back(moved)
    circle.roll_back(circle.last_run())
    assert circle.emails() == CIRCLE


def test_two_unique_fields_at_once() -> None:
    bench = Bench()
    bench.destination.unique, bench.destination.concurrency = {"email", "city"}, 1
    before = {key: {"email": f"{key}@x.io", "firstname": key, "city": f"city {key}"} for key in "ab"}
    for record in before.values():
        bench.destination.make(**record)
    bench.source([(key, r["email"], key, r["city"]) for key, r in before.items()])
    bench.run()
    bench.source([("a", "b@x.io", "a", "city b"), ("b", "a@x.io", "b", "city a")])
    circle = Circle.__new__(Circle)
    circle.bench, circle.away = bench, False
    circle.stops(1, bench.run)
    bench.run()
    assert left(bench, Leaving.CLEAR).disconnected
    assert bench.destination.by("firstname") == before


@pytest.mark.parametrize("way", [Leaving.CLEAR, Leaving.ARCHIVE])
def test_records_that_we_made_go_or_keep_what_they_are_found_by(way: Leaving) -> None:
    circle = Circle(adopted=False)
    circle.half_move()
    report = left(circle.bench, way)
    assert report.disconnected
    if way is Leaving.ARCHIVE:
        assert circle.bench.destination.records == {}
    else:
        assert None not in circle.emails().values()


def test_our_key_too_is_given_back_to_a_record_that_we_made() -> None:
    """A person exchanged the keys of two records, and the run that exchanges them back stops in between."""
    circle = Circle(adopted=False, unique=("email", "city"), spec={"key_property": "city", "columns": COLUMNS[:3]})
    one, other = (circle.bench.destination.records[circle.ids[key]] for key in "ab")
    one["city"], other["city"] = other["city"], one["city"]
    circle.bench.source([(key, email, f"{key} anew") for key, email in PEOPLE.items()], DDL)
    circle.stops(2, circle.bench.run)
    assert None in (one["city"], other["city"])
    assert left(circle.bench, Leaving.CLEAR).disconnected
    assert (one["city"], other["city"]) == ("a", "b")


def test_what_a_person_wrote_into_the_emptied_field_stays() -> None:
    circle = Circle()
    moved = circle.move()
    circle.stops(1, lambda: circle.roll_back(moved))
    emptied = next(key for key, email in circle.emails().items() if email is None)
    circle.bench.destination.records[circle.ids[emptied]]["email"] = "hand@x.io"
    circle.roll_back(moved)
    assert circle.emails()[emptied] == "hand@x.io"
    assert left(circle.bench, Leaving.CLEAR).disconnected
    assert circle.emails()[emptied] == "hand@x.io"


def test_what_a_person_emptied_after_it_was_given_its_value_stays_empty() -> None:
    """Also where the answer that would have said so was lost: the run after it saw the value stand there."""
    circle = Circle()
    circle.half_move(4)  # emptied, and all three written; nobody heard of the last
    assert circle.emails() == CIRCLE
    circle.bench.run()
    emptied = _vacated_key(circle.bench)
    circle.bench.destination.records[circle.ids[emptied]]["email"] = None
    report = left(circle.bench, Leaving.CLEAR)
    assert circle.emails()[emptied] is None
    assert report.plan.changes is not None
    assert ("edited there since", False, 1) in report.plan.changes.reasons


def _vacated_key(bench: Bench) -> str:
    return str(bench.rows("SELECT DISTINCT key FROM revetl.outcomes WHERE error_code = 'VACATED'")[0][0])


def test_what_a_later_run_emptied_is_named_with_that_run() -> None:
    """The earlier run alone is rolled back: its values stand there no more, and nobody has edited the field."""
    circle = Circle()
    circle.move()
    first = circle.last_run()
    circle.wants({"a": "c@x.io", "b": "a@x.io", "c": "b@x.io"})
    circle.bench.run()
    circle.wants(PEOPLE)
    circle.stops(1, circle.bench.run)
    last = circle.last_run()
    report = circle.roll_back(first)
    assert (EMPTIED_SINCE.format(last), False, 1) in report.plan.reasons
    circle.roll_back(last)
    assert None not in circle.emails().values()


def refused_and_left_empty(*, taken: bool = False) -> Circle:
    """A circle in which "a" is emptied and then refused, and the destination is away when its address is given back.
    `taken`: "c" got that address; else it was refused too."""
    circle = Circle()
    names = {"a": "bad", "b": "b", "c": "c" if taken else "bad"}
    circle.bench.source([(key, email, names[key], None) for key, email in CIRCLE.items()])
    circle.bench.destination.poison = {"bad"}

    def away(changes: Sequence[Change]) -> None:
        if changes[0].key == "a" and changes[0].fields.keys() == {"email"} and changes[0].fields["email"]:
            raise Unavailable("away")

    circle.bench.destination.before_write = away
    circle.bench.run()
    assert circle.emails()["a"] is None
    circle.bench.destination.before_write = lambda _: None
    return circle


def outcome(circle: Circle, key: str = "a") -> tuple[object, ...]:
    """(status, code) of the last run."""
    rows = circle.bench.rows(
        "SELECT status, error_code FROM revetl.outcomes WHERE run_id = ? AND key = ?", circle.last_run(), key
    )
    return rows[0]


@pytest.mark.parametrize("taken", [False, True])
def test_a_refused_record_whose_field_stands_empty_is_given_a_value_by_the_next_run(taken: bool) -> None:
    """Though its row is refused again: its earlier value, or where another has that by now the new one."""
    circle = refused_and_left_empty(taken=taken)
    assert outcome(circle) == ("unknown", "VACATED")
    circle.bench.run()
    assert circle.emails()["a"] == ("b@x.io" if taken else "a@x.io")
    assert outcome(circle) == ("rejected", "INVALID_VALUE")
    assert drift(circle.bench).drifted == 0, "what was written aside is ours"


def test_a_value_that_is_withheld_by_now_gives_the_emptied_field_its_earlier_one_back() -> None:
    """Sent with its other fields, or with nothing but what is withheld."""
    for columns in (COLUMNS, COLUMNS[:2]):
        circle = Circle(spec={"columns": columns})
        circle.half_move()
        emptied = next(key for key, email in circle.emails().items() if email is None)
        wanted = {**PEOPLE, emptied: CIRCLE[emptied]}  # whose address nobody gives up any more
        circle.wants(wanted)
        circle.bench.run()
        assert circle.emails() == PEOPLE
        assert drift(circle.bench).drifted == 0
        circle.bench.warehouse.close()


def test_a_lost_answer_of_an_emptied_record_says_that_its_field_may_stand_empty() -> None:
    circle = Circle()
    circle.wants(CIRCLE)

    def lose(changes: Sequence[Change]) -> None:
        if changes[0].key == "a" and changes[0].fields.get("email"):
            raise Ambiguous("lost before it was applied")

    circle.bench.destination.before_write = lose
    circle.bench.run()
    assert circle.emails()["a"] is None
    assert outcome(circle) == ("unknown", "VACATED")


def test_drift_calls_what_we_emptied_nobodys_edit() -> None:
    circle = refused_and_left_empty()
    found = drift(circle.bench)
    assert found.drifted == 0
    assert [s["note"] for s in found.samples if s["field"] == "email" and s["theirs"] is None] == [EMPTIED_BY_US]
    assert drift(circle.bench, DriftResolution("accept", None)).cells == 0
    circle.bench.run()
    assert circle.emails()["a"] == "a@x.io"
