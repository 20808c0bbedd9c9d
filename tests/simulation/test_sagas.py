"""A saga over three destinations dies at any statement, request or answer, of apply and of undo, while a person edits.
Whatever comes next, it ends done or undone: no destination has it while another has not, and no edit is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import GuardrailError
from revetl.model import Change
from tests.support.crashing import Crash, CrashingWarehouse, Fuse
from tests.support.saga_bench import Row, SagaBench

# CI tries every n-th step, `REVETL_EXAMPLES=1000` and more every one.
STRIDE = 1 if int(os.environ.get("REVETL_EXAMPLES", "25")) >= 1000 else 1201


def rows(city: str, *new: str) -> list[Row]:
    """Three people who are there always, and new ones."""
    return [(key, f"{key}@x.io", city, key) for key in ("0", "1", "2", *new)]


def values(of: Sequence[Row]) -> dict[Any, Any]:
    return {email: city for _, email, city, *_ in of}


def due(bench: SagaBench, wanted: Sequence[Row]) -> None:
    for name in "abc":
        bench.source(name, wanted)


def dies(bench: SagaBench, crash_at: int, edit: Callable[[], None]) -> bool:
    """Runs until the fuse burns; True where it came to its end, or was stopped. `edit` is called once, in the middle of
    what goes to the last destination."""
    fuse, inner = Fuse(crash_at), bench.warehouse
    bench.warehouse = CrashingWarehouse(inner, fuse)

    def tick(_: Sequence[Change]) -> None:
        fuse.tick()

    def edits(_: Sequence[Change]) -> None:
        edit()
        fuse.tick()

    for name, destination in bench.destinations.items():
        destination.before_write = edits if name == "c" else tick
        destination.after_write = destination.before_link = destination.after_link = tick
    try:
        bench.run()
    except Crash:
        return False
    except GuardrailError:
        return True
    finally:
        bench.warehouse = inner
        for destination in bench.destinations.values():
            destination.before_write = destination.after_write = lambda _: None
            destination.before_link = destination.after_link = lambda _: None
    return True


@pytest.mark.parametrize("refused", [False, True], ids=["it goes through", "a record is refused"])
def test_a_saga_that_dies_anywhere_ends_done_or_undone(tmp_path: Path, refused: bool) -> None:
    bench = SagaBench(tmp_path)
    for destination in bench.destinations.values():
        destination.batch_rows, destination.concurrency = 2, 2
    before = rows("old")
    due(bench, before)
    bench.run()
    ended, crash_at = False, 1 + refused * (STRIDE // 2)
    while not ended:
        new = rows(f"new {crash_at}", f"n{crash_at}")
        due(bench, new)
        if refused:
            bench.destinations["c"].refuses = lambda change: (
                "NO" if str(change.fields.get("city")).startswith("new") else None
            )
        edited: list[str] = []

        def edit(edited: list[str] = edited) -> None:
            """A person edits a record that the first destination was sent a moment ago."""
            if not edited:
                edited.append("now")
                next(r for r in bench.destinations["a"].records.values() if r["email"] == "0@x.io")["city"] = "hand"

        ended = dies(bench, crash_at, edit)
        if not ended or not refused:
            with suppress(GuardrailError):  # undone, and the refused record is as it was
                bench.run()
        hand = {"0@x.io": "hand"} if edited else {}
        expected = before if refused else new
        for name in "abc":
            assert bench.stands(name) == values(expected) | (hand if name == "a" else {}), (crash_at, name)
        assert bench.steps()[-1] == ("undone" if refused else "done"), crash_at
        assert len(bench.destinations["b"].links) == len(expected), crash_at
        before = rows(f"mended {crash_at}")  # whoever was new is gone from the model, and must be nowhere
        for destination in bench.destinations.values():
            destination.refuses = lambda _: None
            destination.records = {i: r for i, r in destination.records.items() if r["email"] in values(before)}
            destination.links = {link for link in destination.links if link[0] in destination.records}
        due(bench, before)
        bench.run()
        assert [bench.stands(name) for name in "abc"] == [values(before)] * 3, crash_at
        assert bench.steps()[-1] == "done", crash_at
        crash_at += STRIDE
    bench.close()
