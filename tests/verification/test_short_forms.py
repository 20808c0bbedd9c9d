"""Each long proof of the sync engine in a short form: that it runs, that it finds nothing, and that it could."""

from __future__ import annotations

import math

import pytest

from verification import canaries, faults, identifiers, kills, machine, mutants, people, poison, simulation, storms


def test_simulation() -> None:
    total = simulation.play(range(8))
    assert total.failures == []
    assert total.runs >= 16
    assert total.crashes
    assert total.faults


def test_a_simulated_history_repeats_exactly() -> None:
    one, two = (simulation.History(5).play() for _ in range(2))
    assert one == two


def test_machine() -> None:
    total = machine.Tally()
    for seed in range(2):
        total.add(machine.Machine(seed).play(steps=40))
    assert total.failures == []
    assert total.steps.total() == 80
    assert {"sync", "die", "quota", "rollback", "accept"} <= total.steps.keys()


def test_machine_notices_a_person_whom_the_oracle_does_not_know_of() -> None:
    m = machine.Machine(1)
    m.upsert()
    m.sync()
    ((_, record),) = m.bench.destination.records.items()
    record["city"] = "not ours"
    with pytest.raises(machine.Finding, match="stands as"):
        m.sync()


def test_people() -> None:
    total = machine.Tally()
    for seed in (1, 21):
        total.add(people.People(seed).play(steps=25))
    assert total.failures == []
    assert total.steps.total() == 50
    assert {"merge", "archive", "make_again", "move", "respell", "swap_addresses", "die"} <= total.steps.keys()


@pytest.mark.parametrize(
    ("mistake", "finding"),
    [
        ("UPDATE revetl.snapshot__fake__contacts SET row_hash = NULL", "is as it was, and this is sent"),
        ("UPDATE revetl.snapshot__fake__contacts SET destination_id = '0'", "is lost"),
    ],
)
def test_people_notices_what_a_run_owes(mistake: str, finding: str) -> None:
    history = people.People(1)
    history.upsert()
    history.sync()
    history.bench.warehouse.execute(mistake)
    with pytest.raises(machine.Finding, match=finding):
        history.sync()


def test_kills() -> None:
    tally = kills.kill(5)
    assert tally.kills == 4
    assert (tally.lost, tally.stale, tally.doubled, tally.over, tally.first_failure) == (0, 0, 0, 0, "")


async def test_faults() -> None:
    asked = [r for r in faults.rounds(1) if r[1:3] == ("contacts", "POST */batch/upsert")]
    chosen = [r for r in asked if r[0] in ("expired token", "truncated JSON", "slow drip")]
    cells = await faults.storm(chosen)
    assert [cell.failures for cell in cells.values()] == [[], [], []]
    assert all(cell.struck for cell in cells.values())
    assert cells["expired token"].codes == {4: 1}


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda m: m.name)
def test_mutants_still_apply(mutant: mutants.Mutant) -> None:
    assert mutant.old != mutant.new
    assert (mutants.ROOT / "src" / "revetl" / mutant.file).read_text("utf-8").count(mutant.old) == 1
    assert mutant.by in ("simulation", "machine", "people") or (mutants.ROOT / mutant.by).is_file()


def test_a_mutant_is_found() -> None:
    mutant = next(m for m in mutants.MUTANTS if m.name == "what was rolled back is sent again")
    assert str(mutants.found_by(mutant, "machine", 30)).startswith("history ")


@pytest.mark.parametrize("named", [True, False])
def test_poison(named: bool) -> None:
    result = poison.isolate(3, named=named, rows=600)
    assert (result.landed, result.rejected) == (597, 3)
    assert result.writes <= result.bound == 600 // poison.BATCH + math.floor(3 * 2 * math.log2(poison.BATCH))
    assert named == (result.writes == 6)


def test_storms() -> None:
    storm = storms.weather(rows=400, storms=((10.0, 20.0),))
    assert storm.landed == 400
    assert 0 < storm.wasted_share <= 0.02
    assert storm.ratio <= 1.3, "a short push spreads the way back to full speed over fewer requests"


def test_outage() -> None:
    away = storms.outage(100.0, rows=80)
    assert away.landed == 80
    assert 0 < away.away < 20
    assert away.back_after_s <= away.longest_gap_s + 1.0


def test_identifiers() -> None:
    names = identifiers.hostile(40)
    assert len(names) == 40
    assert [e for name in names for dialect in identifiers.DIALECTS for e in identifiers.escapes(name, dialect)] == []
    assert identifiers.through_a_sync(names[:8]) == []


def test_an_escaped_identifier_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identifiers, "ident", lambda name: f'"{name}"')
    assert identifiers.escapes('"; DROP TABLE canary; --', "duckdb")


def test_canaries_are_found_where_they_are_planted() -> None:
    hunt = canaries.Hunt()
    words = [*canaries.SECRETS.values(), *canaries.PERSON.values()]
    hunt.search("a clean log", b"POST /crm/v3/objects/contacts 401 authorization: ***", words)
    assert hunt.found == []
    hunt.search("a log", f"authorization: Bearer {canaries.SECRETS['HUBSPOT_TOKEN']}".encode(), words)
    hunt.search("a database", canaries.PERSON["last_name"].encode("utf-16-le"), words)
    assert [found.rpartition(" in ")[2] for found in hunt.found] == ["a log", "a database"]
