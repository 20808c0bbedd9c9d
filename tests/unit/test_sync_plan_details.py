"""A plan row by row: what would be sent, what is held and why, and what it costs at the destination's limits."""

from __future__ import annotations

import httpx
import pytest

from revetl.destinations.base import Quota
from revetl.destinations.hubspot.allowance import Allowance
from revetl.destinations.hubspot.options import Options
from revetl.http import Rate
from revetl.state.sync_tables import resolve
from revetl.sync.plan import lines
from revetl.sync.plan.forecast import forecast
from tests.support.sync_bench import Bench
from tests.unit.test_sync_key_property import KeyedFake

BURST, SEARCH = Rate(190, 10.0), Rate(5, 1.0)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.source([("1", "ann@x.io", "Ann", "Bern"), ("2", "bob@x.io", "Bob", "Bern"), ("9", "gone@x.io", "G", None)])
    bench.run()
    bench.sent()
    return bench


def test_the_first_sync_into_a_crm_that_is_full() -> None:
    bench = Bench()
    bench.destination.records = {
        "a": {"email": "same@x.io", "firstname": "S", "city": "Bern"},
        "b": {"email": "differs@x.io", "firstname": "Old", "city": "Bern"},
    }
    bench.source([("1", "same@x.io", "S", "Bern"), ("2", "differs@x.io", "New", "Bern"), ("3", "none@x.io", "N", None)])
    plan = bench.plan()
    assert (plan.create, plan.adopt, plan.matched, plan.withheld, plan.lines) == (1, 1, 1, 0, 3)
    (adopted,) = (s for s in plan.samples if s.op == "adopt" and not s.outcome)
    assert (adopted.key, dict(adopted.fields)) == ("2", {"firstname": ("Old", "New")})


def test_conflicts_name_the_other_key(bench: Bench) -> None:
    bench.source(
        [
            ("1", "ann@x.io", "Ann", "Bern"),
            ("2", "bob@x.io", "Bob", "Bern"),
            ("3", "ANN@x.io", "Second Ann", None),
            ("4", "new@x.io", "New", None),
            ("5", "New@x.io", "Twin", None),
            ("6", None, "Nobody", None),
        ]
    )
    plan = bench.plan()
    assert plan.reasons == {"HELD_BY_ANOTHER_KEY": 1, "NO_IDENTITY": 1, "SAME_IDENTITY": 1}
    told = {s.key: s.note or "" for s in plan.samples}
    assert "kept by 1 of this model" in told["3"]
    assert "same email as 4 of this model" in told["5"]
    assert (plan.create, plan.withheld, plan.left) == (1, 3, 1)


def test_every_line_can_be_read_by_key_and_by_field(bench: Bench) -> None:
    bench.source([("1", "ann@x.io", "Anna", "Bern"), ("2", "bob@x.io", "Bob", "Rome"), ("9", "gone@x.io", "G", None)])
    bench.plan()
    tables = resolve(bench.warehouse, bench.spec)

    def keys(**which: object) -> list[str]:
        return [line.key for line in lines.read(tables, **which)]

    assert keys() == ["1", "2"]
    assert keys(limit=1) == ["1"]
    assert keys(fields=["city"]) == ["2"]
    assert keys(keys=["2", "x"]) == ["2"]
    (line,) = lines.read(tables, keys=["2"])
    assert dict(line.fields) == {"city": ("Bern", "Rome")}


def test_a_record_without_a_line_is_explained(bench: Bench) -> None:
    bench.destination.poison = {"Bad"}
    bench.source([("1", "ann@x.io", "Ann", "Bern"), ("2", "bob@x.io", "Bad", "Bern")])
    bench.run()
    bench.plan()
    tables = resolve(bench.warehouse, bench.spec)
    why = [lines.why_not_planned(tables, key) for key in ("1", "2", "9", "x")]
    assert [w and w.split(":")[0] for w in why] == [
        "same",
        "was refused before",
        "has left the model; the destination keeps it",
        None,
    ]


def test_the_forecast_of_a_plan_counts_batches_by_operation(bench: Bench) -> None:
    bench.sync_as(mode="mirror", on_leave="archive")
    bench.destination.allowance = Quota(BURST, BURST, BURST, daily_limit=1_000, daily_left=400)
    bench.source([*[(f"n{i}", f"n{i}@x.io", "N", None) for i in range(4)], ("1", "ann@x.io", "Ann", "Rome")])
    plan = bench.plan()
    assert plan.forecast is not None
    assert plan.forecast.writes == {"create": 2, "update": 1, "delete": 1}
    assert plan.requests == 4
    assert (plan.forecast.daily_share, plan.forecast.daily_left) == (0.005, 400), "one request reads what stands"


@pytest.mark.parametrize(
    ("requests", "seconds"), [(0, 0), (1, 0), (190, 0), (191, 10), (380, 10), (381, 20), (10_000, 520)]
)
def test_the_least_time_at_a_rate(requests: int, seconds: float) -> None:
    assert forecast(Quota(write=BURST), lookups=0, reads=0, writes={"create": requests}).seconds == seconds


def test_the_limit_that_binds_is_named() -> None:
    quota = Quota(lookup=SEARCH, read=BURST, write=BURST)
    searched = forecast(quota, lookups=1_000, reads=0, writes={"update": 1_000})
    assert (searched.plan_s, searched.apply_s, searched.rate) == (199.0, 50.0, "5 requests per 1 s")
    assert forecast(quota, lookups=0, reads=0, writes={"update": 1_000}).rate == "190 requests per 10 s"


def test_a_day_that_is_too_short_is_told() -> None:
    quota = Quota(daily_limit=1_000, daily_left=10)
    (note,) = forecast(quota, lookups=5, reads=0, writes={"update": 6}).notes
    assert "11 requests and the day has 10 left" in note


def hubspot(**options: object) -> Allowance:
    return Allowance(Options(token="pat-x", **options))


def test_hubspot_takes_the_day_from_its_headers() -> None:
    allowance = hubspot()
    headers = {"X-HubSpot-RateLimit-Daily": "1000000", "X-HubSpot-RateLimit-Daily-Remaining": "999"}
    allowance.observe(httpx.Response(200, headers=headers))
    allowance.observe(httpx.Response(200))
    quota = allowance.quota(searched=False)
    assert (quota.daily_limit, quota.daily_left, quota.notes) == (1_000_000, 999, ())
    assert quota.write == BURST


@pytest.mark.parametrize(("per_10_s", "daily"), [(100, 250_000), (190, 625_000), (110, None)])
def test_hubspot_assumes_the_documented_day_of_the_tier_and_says_so(per_10_s: int, daily: int | None) -> None:
    quota = hubspot(requests_per_10_s=per_10_s).quota(searched=True)
    assert (quota.daily_limit, quota.daily_left, quota.lookup) == (daily, None, SEARCH)
    assert any("has not told its daily quota" in note for note in quota.notes)
    assert any("not confirmed" in note for note in quota.notes)


def test_of_keys_that_are_one_in_the_field_that_holds_them_one_is_withheld() -> None:
    bench = Bench()
    bench.destination = KeyedFake()
    bench.sync_as(key_property="our_key")
    bench.source([("k", "a@x.io", "A", None), ("k ", "b@x.io", "B", None), ("e\u0301", "c@x.io", "C", None)])
    plan = bench.plan()
    assert (plan.create, dict(plan.reasons)) == (2, {"SAME_IDENTITY": 1})
