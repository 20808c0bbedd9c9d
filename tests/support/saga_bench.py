"""Three syncs into three destinations that stand or fall together, run by the use case that `revetl run` calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from revetl.clock import LoopClock
from revetl.model import Association, Guardrails, Relation, SagaSpec, SyncSpec
from revetl.sync import SyncOptions, SyncReport
from revetl.usecases.caller import Caller
from revetl.usecases.plan import Planned, planned
from revetl.usecases.sync import push
from revetl.warehouse.base import Warehouse
from tests.support.fake_destination import FakeDestination
from tests.support.warehouses import SCHEMA, the_warehouse

Row = tuple[str | None, ...]
COLUMNS = ("golden_id", "email", "city", "firm_id")


def spec(name: str, **more: Any) -> SyncSpec:
    plain = SyncSpec(
        name=f"{name}__people",
        relation=Relation(SCHEMA, name),
        destination=name,
        object="people",
        key="golden_id",
        match_on="email",
        columns=COLUMNS[:3],
        guardrails=Guardrails(min_rows=0),
        where=f"models/activation/{name}__people.yml",
    )
    return replace(plain, **more)


@dataclass(frozen=True, kw_only=True)
class OpenCaller(Caller):
    """Gives the warehouse that is open already, and leaves it open."""

    opened: Warehouse

    @contextmanager
    def warehouse(self, _project: object) -> Iterator[Warehouse]:
        yield self.opened


@dataclass
class SagaBench:
    """The destinations are `a`, `b` and `c`, in this order; `b` links its records to those of `a` by `firm_id`."""

    tmp_path: Path
    warehouse: Warehouse = field(default_factory=the_warehouse)
    clock: LoopClock = field(default_factory=LoopClock)
    destinations: dict[str, FakeDestination] = field(
        default_factory=lambda: {name: FakeDestination(("email", "city"), name) for name in "abc"}
    )
    max_failures: int = 0
    state_dir: Path | None = None
    notes: list[str] = field(default_factory=list)
    ended: list[SyncReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.specs = [
            spec("a"),
            spec("b", columns=COLUMNS, associate=(Association("a__people", "firm_id", 1, "people"),)),
            spec("c"),
        ]
        self.sagas = [SagaSpec("all", tuple(s.name for s in self.specs), self.max_failures)]

    def source(self, name: str, rows: Iterable[Row]) -> None:
        self.warehouse.execute(f"DROP TABLE IF EXISTS {name}")
        self.warehouse.execute(f"CREATE TABLE {name} (golden_id VARCHAR, email VARCHAR, city VARCHAR, firm_id VARCHAR)")
        for row in rows:
            self.warehouse.execute(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", [*row, *(None,) * (4 - len(row))])

    @property
    def project(self) -> Any:
        def destination(name: str, _clock: object = None) -> FakeDestination:
            return self.destinations[name]

        def syncs(select: Sequence[str] = (), _exclude: object = (), *, verified: bool = True) -> list[SyncSpec]:
            return [s for s in self.specs if not select or s.name in select]

        return SimpleNamespace(
            target="dev",
            state_dir=self.state_dir,
            dbt_invocation_id=None,
            exposures_file=None,
            artifacts=SimpleNamespace(own=self.tmp_path),
            destination=destination,
            syncs=syncs,
            sagas=lambda: self.sagas,
            incomplete_sagas=list,
            edited_since_build=lambda _specs: [],
            built_at=lambda _spec: None,
        )

    def caller(self) -> Caller:
        return OpenCaller(clock=self.clock, note=self.notes.append, on_sync=self.ended.append, opened=self.warehouse)

    def run(self, *names: str, **options: Any) -> list[SyncReport]:
        chosen = [s for s in self.specs if not names or s.name in names]
        wanted = SyncOptions(**{"intent_rows": 2, **options})
        return push(self.project, self.warehouse, chosen, "run", wanted, self.caller())

    @contextmanager
    def planned(self) -> Iterator[Planned]:
        """As `revetl plan` does."""
        with planned(self.project, SyncOptions(), self.caller()) as found:
            yield found

    def stands(self, name: str) -> dict[Any, Any]:
        """Email → city, of the destination."""
        return {r.get("email"): r.get("city") for r in self.destinations[name].records.values()}

    def sent(self) -> dict[str, int]:
        """Writes per destination since the last call."""
        out = {name: len(d.written) for name, d in self.destinations.items()}
        for destination in self.destinations.values():
            destination.written.clear()
        return out

    def steps(self) -> list[Any]:
        """How each time ended, the oldest first."""
        return [step for (step,) in self.warehouse.rows("SELECT step FROM revetl.sagas ORDER BY began_at, saga_id")]

    def close(self) -> None:
        self.warehouse.close()
