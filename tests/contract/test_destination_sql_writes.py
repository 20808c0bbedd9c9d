"""PostgreSQL and MariaDB as destinations, past the contract: exactly once, conflicts by name, values without loss."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revetl.context import LeaseWait, RunContext
from revetl.destinations.capabilities import LooksUp
from revetl.destinations.sql.dialect import SqlFailure
from revetl.destinations.sql.writers import SqlWriter
from revetl.errors import Ambiguous, ConfigError, Denied
from revetl.model import Change, Guardrails, Operation, Outcome, Relation, Scalar, Status, SyncSpec
from revetl.state.runs import new_run_id
from revetl.sync import SyncReport, run_sync
from revetl.testing.clocks import ScaledClock
from revetl.testing.crashing import Crash, CrashingWarehouse, Fuse
from revetl.warehouse.duckdb import DuckDBWarehouse
from tests.support.sql_destinations import VENDOR_PARAMS, VENDORS, SqlVendor, SqlWire, connected, fresh

# Slower than elsewhere: the lease of a run is renewed in time on a machine that is busy starting servers, too.
SCALED = ScaledClock(25.0)


@pytest.fixture(params=VENDOR_PARAMS)
def database(request: pytest.FixtureRequest) -> Iterator[SqlVendor]:
    with fresh(request.param) as made:
        yield made


def create(ordinal: int, **fields: Scalar) -> Change:
    match = next(iter(fields.values()))
    return Change(ordinal, f"key-{ordinal}", Operation.CREATE, None, fields, match)


def written(
    database: SqlVendor, table: str, match_on: str | None, *changes: Change, wire: SqlWire | None = None
) -> dict[int, Outcome]:
    async def write() -> dict[int, Outcome]:
        async with connected(database, wire or SqlWire(), SCALED, batch_rows=500) as destination:
            await destination.describe(table)
            return {o.ordinal: o for o in await destination.write(table, match_on, changes)}

    return asyncio.run(write())


# Exactly once. The table counts each writing of each row by a trigger, so that a second one shows even where it has the
# same values.

LOGGED: Mapping[str, tuple[str, ...]] = {
    "PostgresVendor": (
        "CREATE TABLE people (email text PRIMARY KEY, name text, city text)",
        "CREATE TABLE writings (email text, what text)",
        """
        CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          INSERT INTO writings VALUES (COALESCE(NEW.email, OLD.email), TG_OP);
          RETURN NULL;
        END $$
        """,
        "CREATE TRIGGER logged AFTER INSERT OR UPDATE OR DELETE ON people FOR EACH ROW EXECUTE FUNCTION logged()",
    ),
    "MariaDBVendor": (
        "CREATE TABLE people (email varchar(100) PRIMARY KEY, name varchar(100), city varchar(100))",
        "CREATE TABLE writings (email varchar(100), what varchar(10))",
        "CREATE TRIGGER i AFTER INSERT ON people FOR EACH ROW INSERT INTO writings VALUES (NEW.email, 'INSERT')",
        "CREATE TRIGGER u AFTER UPDATE ON people FOR EACH ROW INSERT INTO writings VALUES (NEW.email, 'UPDATE')",
        "CREATE TRIGGER d AFTER DELETE ON people FOR EACH ROW INSERT INTO writings VALUES (OLD.email, 'DELETE')",
    ),
}
Model = dict[str, tuple[str, str | None]]
FIRST: Model = {f"p{n}@x.io": (f"Name {n}", None if n % 3 else "Rome") for n in range(9)}
# Some leave, some come, some change, some don't.
SECOND: Model = {
    **{email: values for email, values in FIRST.items() if email not in ("p1@x.io", "p7@x.io")},
    **{f"p{n}@x.io": (f"Changed {n}", "Oslo") for n in (2, 3, 5)},
    "p20@x.io": ("New", None),
}
EXPECTED_WRITINGS = sorted(
    [(email, "INSERT") for email in {*FIRST, *SECOND}]
    + [(f"p{n}@x.io", "UPDATE") for n in (2, 3, 5)]
    + [(f"p{n}@x.io", "DELETE") for n in (1, 7)]
)


def play(database: SqlVendor, wire: SqlWire, model: Model, warehouse: DuckDBWarehouse) -> SyncReport:
    """One run of a mirror, as a process of its own."""
    warehouse.execute("DROP TABLE IF EXISTS people")
    warehouse.execute("CREATE TABLE people (email VARCHAR, name VARCHAR, city VARCHAR)")
    rows = {"email": list(model), "name": [v[0] for v in model.values()], "city": [v[1] for v in model.values()]}
    warehouse.append(Relation("main", "people"), pa.table(rows))
    spec = SyncSpec(
        name="people",
        relation=Relation("main", "people"),
        destination="crm",
        object="people",
        key="email",
        match_on="email",
        mode="mirror",
        on_leave="archive",
        columns=("email", "name", "city"),
        guardrails=Guardrails(max_deleted_share=1.0, deletes_declared=True),
    )

    async def run() -> SyncReport:
        fuse = Mirrored(wire.fuse)
        ctx = RunContext(
            warehouse=CrashingWarehouse(warehouse, fuse),
            clock=SCALED,
            run_id=new_run_id(SCALED),
            command="sync",
            target="t",
            wait=LeaseWait(3_600.0),
        )
        async with connected(database, wire, SCALED, batch_rows=3) as destination:
            return await run_sync(ctx, spec, destination)

    return asyncio.run(run())


class Mirrored(Fuse):
    """The warehouse's share of a process that dies with its connections."""

    def __init__(self, other: Fuse) -> None:
        super().__init__()
        self._other = other

    def tick(self) -> None:
        if self._other.dead:
            raise Crash("the process is gone")


def prepared(database: SqlVendor) -> None:
    for statement in LOGGED[type(database).__name__]:
        database.ask(statement)
    # The trigger writes as the one who writes the row.
    if type(database).__name__ == "PostgresVendor":
        database.ask("GRANT INSERT ON writings TO sender")


def is_exactly_once(database: SqlVendor) -> None:
    stands = {row[0]: (row[1], row[2]) for row in database.ask("SELECT email, name, city FROM people")}
    assert stands == SECOND
    assert sorted(database.ask("SELECT email, what FROM writings")) == EXPECTED_WRITINGS


def until_done(database: SqlVendor, model: Model, warehouse: DuckDBWarehouse) -> None:
    for _ in range(3):
        if play(database, SqlWire(), model, warehouse).status == "done":
            return
    raise AssertionError("no run comes to its end")


@pytest.mark.parametrize("kind", VENDOR_PARAMS)
def test_killed_at_either_end_of_every_commit_each_row_is_written_exactly_once(kind: str) -> None:
    """Where the second model is on its way: creates, updates and deletes."""
    steps = 0
    while True:
        with fresh(kind) as database:
            prepared(database)
            warehouse = DuckDBWarehouse(":memory:")
            until_done(database, FIRST, warehouse)
            died = False
            try:
                play(database, SqlWire(fuse=Fuse(steps + 1)), SECOND, warehouse)
            except (Crash, BaseExceptionGroup):
                died = True
            until_done(database, SECOND, warehouse)
            is_exactly_once(database)
        if not died:
            break
        steps += 1
    assert steps >= 6, "creates, updates and deletes, at both ends of their commits"


@pytest.mark.parametrize("lost", ["lose", "lose_before"])
def test_a_lost_commit_is_decided_by_its_mark(database: SqlVendor, lost: str) -> None:
    """Each COMMIT in turn, done or not: the run ends well by itself, and each row is written exactly once."""
    prepared(database)
    warehouse = DuckDBWarehouse(":memory:")
    wire = SqlWire()
    setattr(wire, lost, 2)
    assert play(database, wire, FIRST, warehouse).status == "done"
    wire = SqlWire()
    setattr(wire, lost, 3)
    assert play(database, wire, SECOND, warehouse).status == "done"
    is_exactly_once(database)


def test_two_sessions_that_make_the_table_of_marks_at_once_both_write(database: SqlVendor) -> None:
    """PostgreSQL's IF NOT EXISTS does not see what another transaction has made and not committed: it waits for it,
    and is then refused."""
    dialect = database.dialect()

    class Overtaken:
        """A session that finds itself beside another one."""

        def __init__(self) -> None:
            self.inner = dialect.open()
            self.change = self.inner.change
            self.commit, self.rollback, self.close = self.inner.commit, self.inner.rollback, self.inner.close

        def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            if "CREATE TABLE" not in sql:
                return self.inner.ask(sql, values)
            other = dialect.open()
            other.ask(sql)
            committing = threading.Timer(0.3, other.commit)
            committing.start()
            try:
                return self.inner.ask(sql, values)
            finally:
                committing.join()
                other.close()

    writer = SqlWriter(Overtaken(), dialect.marks())
    writer.begin()
    writer.session.commit()
    assert database.ask("SELECT batch FROM revetl_marks") == [(1,)]
    writer.close()


def test_a_table_of_marks_that_is_committed_between_look_and_make_is_taken(database: SqlVendor) -> None:
    """PostgreSQL looks for the name first and makes the table after: what another transaction commits between the two
    is refused as 42P07, IF NOT EXISTS or not."""
    dialect = database.dialect()

    class Overtaken:
        def __init__(self) -> None:
            self.inner, self.refused = dialect.open(), list[SqlFailure]()
            self.change = self.inner.change
            self.commit, self.rollback, self.close = self.inner.commit, self.inner.rollback, self.inner.close

        def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            if "CREATE TABLE" in sql:
                other = dialect.open()
                other.ask(sql)
                other.commit()
                other.close()
            try:
                return self.inner.ask(sql.replace("IF NOT EXISTS ", ""), values)
            except SqlFailure as e:
                self.refused.append(e)
                raise

    session = Overtaken()
    writer = SqlWriter(session, dialect.marks())
    writer.begin()
    writer.session.commit()
    assert session.refused[-1].code == ("42P07" if "Postgres" in type(database).__name__ else "1050")
    assert database.ask("SELECT batch FROM revetl_marks") == [(1,)]
    writer.close()


def test_where_nobody_can_be_asked_the_outcome_is_unknown(database: SqlVendor) -> None:
    prepared(database)
    with pytest.raises(Ambiguous, match="during COMMIT"):
        written(database, "people", "email", create(0, email="a@x.io"), wire=SqlWire(lose=1, dark=True))
    assert database.ask("SELECT email FROM people") == [("a@x.io",)]


def test_a_create_without_a_key_is_not_doubled_by_a_lost_commit(database: SqlVendor) -> None:
    """Nothing but the mark can tell it."""
    number = "bigint GENERATED ALWAYS AS IDENTITY" if "Postgres" in type(database).__name__ else "bigint AUTO_INCREMENT"
    database.ask(f"CREATE TABLE visits (id {number} PRIMARY KEY, page varchar(50))")
    outcomes = written(database, "visits", None, create(0, page="/a"), create(1, page="/b"), wire=SqlWire(lose=1))
    assert {o.status for o in outcomes.values()} == {Status.OK}
    stands = {str(row[0]): row[1] for row in database.ask("SELECT id, page FROM visits")}
    assert stands == {outcomes[0].destination_id: "/a", outcomes[1].destination_id: "/b"}
    assert database.ask("SELECT count(*) FROM revetl_marks") == [(1,)], "the lost session's; the other took its own"


# Conflicts.


def test_conflicts_are_named_and_cost_no_other(database: SqlVendor) -> None:
    database.ask("CREATE TABLE companies (id integer PRIMARY KEY)")
    database.ask("INSERT INTO companies VALUES (1)")
    database.ask("""
        CREATE TABLE people (
          email varchar(100) NOT NULL PRIMARY KEY,
          code varchar(10),
          age integer,
          company integer,
          needed varchar(10) NOT NULL DEFAULT '-',
          CONSTRAINT one_code UNIQUE (code),
          CONSTRAINT grown_up CHECK (age >= 18),
          CONSTRAINT works_for FOREIGN KEY (company) REFERENCES companies (id)
        )
        """)
    database.ask("INSERT INTO people (email, code) VALUES ('stands@x.io', 'SECRET')")
    outcomes = written(
        database,
        "people",
        "email",
        create(0, email="good@x.io", code="A", age=30, company=1),
        create(1, email="code@x.io", code="SECRET", age=30, company=1),
        create(2, email="young@x.io", code="C", age=3, company=1),
        create(3, email="lost@x.io", code="D", age=30, company=77),
        create(4, email="null@x.io", code="E", age=30, needed=None),
        create(5, email="large@x.io", code="F", age=2**31),
        create(6, email="better@x.io", code="G", age=30, company=1),
    )
    refused = {n: o for n, o in outcomes.items() if o.status is Status.REJECTED}
    assert sorted(refused) == [1, 2, 3, 4, 5]
    named = ["one_code", "grown_up", "works_for", "needed", "age: the number is out of range (-2,147,483,648 to"]
    for outcome, name in zip((refused[n] for n in sorted(refused)), named, strict=True):
        assert name in str(outcome.message)
        assert "SECRET" not in str(outcome.message)
    assert refused[5].in_row
    assert not refused[1].in_row
    stands = {row[0] for row in database.ask("SELECT email FROM people")}
    assert stands == {"stands@x.io", "good@x.io", "better@x.io"}


def test_a_unique_column_that_is_not_the_key_is_never_taken_for_it(database: SqlVendor) -> None:
    """ON DUPLICATE KEY UPDATE would write over the other row."""
    database.ask("CREATE TABLE people (email varchar(100) PRIMARY KEY, code varchar(10) UNIQUE, name varchar(10))")
    database.ask("INSERT INTO people VALUES ('other@x.io', 'A', 'Other')")
    outcomes = written(database, "people", "email", create(0, email="new@x.io", code="A", name="New"))
    assert outcomes[0].status is Status.REJECTED
    assert database.ask("SELECT * FROM people") == [("other@x.io", "A", "Other")]


def test_names_of_tables_and_columns_are_never_sql(database: SqlVendor) -> None:
    quote = database.dialect().quote
    name, column = 'we"ird`%s ;--', "a'b\"c`%(x)s {d}"
    plain, field = (quote(word).replace("%%", "%") for word in (name, column))
    database.ask(f"CREATE TABLE {plain} ({field} varchar(50) NOT NULL PRIMARY KEY, v varchar(50))")
    value = "'); DROP TABLE x; -- \\ %s {y}"
    for text in (value, "again"):
        outcomes = written(database, name, column, create(0, **{column: value, "v": text}))
        assert outcomes[0].status is Status.OK, outcomes
    assert database.ask(f"SELECT * FROM {plain}") == [(value, "again")]


def test_what_can_not_be_written_safely_is_said_before_a_plan(database: SqlVendor) -> None:
    database.ask("CREATE TABLE twins (a integer, b integer, PRIMARY KEY (a, b))")
    database.ask("CREATE TABLE plain (id integer PRIMARY KEY, email varchar(50))")
    database.ask("CREATE VIEW seen AS SELECT * FROM plain")
    for table, said in (("twins", "no column that names a row"), ("seen", "is no table"), ("nothing", "is not there")):
        with pytest.raises(ConfigError, match=said):
            written(database, table, None)
    with pytest.raises(ConfigError, match="two rows could have one email"):
        written(database, "plain", "email", create(0, email="a@x.io"))


def test_capitals_that_the_database_takes_for_equal_find_the_row() -> None:
    with fresh("mariadb") as database:
        column = "varchar(50) COLLATE utf8mb4_general_ci"
        database.ask(f"CREATE TABLE people (id integer PRIMARY KEY, email {column} NOT NULL UNIQUE, name {column})")
        database.ask("INSERT INTO people VALUES (7, 'ann@x.io', 'ann')")

        async def adopted() -> Outcome:
            async with connected(database, SqlWire(), SCALED) as destination:
                await destination.describe("people")
                assert isinstance(destination, LooksUp)
                found = await destination.look_up("people", "email", ["Ann@X.io"], ["name"])
                id_ = found["Ann@X.io"].destination_id
                fields = {"email": "Ann@X.io", "name": "Ann"}
                [outcome] = await destination.write("people", "email", [Change(0, "k", Operation.UPDATE, id_, fields)])
                return outcome

        outcome = asyncio.run(adopted())
        assert (outcome.status, outcome.destination_id) == (Status.OK, "7")
        assert database.ask("SELECT id, email, name FROM people") == [(7, "Ann@X.io", "Ann")]


def with_an_own_equality(database: SqlVendor) -> tuple[str, str]:
    """A table `people` and two values of its `word` that this database takes for equal. The servers of the suite have
    neither citext nor ICU, so PostgreSQL's is an interval."""
    if "Postgres" in type(database).__name__:
        database.ask("CREATE TABLE people (word interval PRIMARY KEY, name varchar(10))")
        return "1 day", "24:00:00"
    word = "word varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY"
    database.ask(f"CREATE TABLE people ({word}, name varchar(10))")
    return "rene@x.io", "rené@x.io"


def test_of_two_values_that_the_database_takes_for_equal_the_second_is_refused(database: SqlVendor) -> None:
    """In one batch, and where the first one was created by an earlier process: nothing is overwritten. The same value
    again, as after a crash, is the record's own row."""
    first, second = with_an_own_equality(database)
    pair = (create(0, word=first, name="First"), create(1, word=second, name="Second"))
    outcomes = written(database, "people", "word", *pair, create(2, word="7 days", name="Other"))
    assert [outcomes[n].status for n in range(3)] == [Status.OK, Status.REJECTED, Status.OK]
    assert (outcomes[1].error_code, outcomes[1].in_row) == ("EXISTS", False)
    said = "to the database its word is equal to that of {}, which is not overwritten"
    assert outcomes[1].message == said.format("key-0 of this model")
    outcomes = written(database, "people", "word", *pair)
    assert [outcomes[n].status for n in range(2)] == [Status.OK, Status.REJECTED]
    outcomes = written(database, "people", "word", pair[1])
    assert (outcomes[1].status, outcomes[1].message) == (Status.REJECTED, said.format("another row"))
    assert sorted(database.ask("SELECT name FROM people")) == [("First",), ("Other",)]


def test_a_row_whose_value_the_database_altered_is_not_taken_for_another_record() -> None:
    """The second record is sent, in a later batch, with the value that the first one's row holds by then."""
    with fresh("postgres") as database:
        database.ask("CREATE TABLE hosts (address inet PRIMARY KEY, name text)")
        changes = [create(0, address="10.0.0.1", name="First"), create(1, address="10.0.0.1/32", name="Second")]

        async def write() -> list[Outcome]:
            async with connected(database, SqlWire(), SCALED) as destination:
                await destination.describe("hosts")
                batches = ([change] for change in (*changes, changes[0]))
                return [o for batch in batches for o in await destination.write("hosts", "address", batch)]

        outcomes = asyncio.run(write())
        assert [o.status for o in outcomes] == [Status.OK, Status.REJECTED, Status.OK]
        assert "that of key-0 of this model" in str(outcomes[1].message)
        assert database.ask("SELECT name FROM hosts") == [("First",)]


def test_an_update_that_a_trigger_suppresses_is_refused() -> None:
    """Of two rows one is kept as it is. Where the values stand already nothing needs to be written, and that is ok."""
    with fresh("postgres") as database:
        database.ask("CREATE TABLE people (email text PRIMARY KEY, name text)")
        database.ask("INSERT INTO people VALUES ('a@x.io', 'old'), ('b@x.io', 'old')")
        database.ask("""
            CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF NEW.email = 'a@x.io' THEN
                RETURN NULL;
              END IF;
              RETURN NEW;
            END $$
            """)
        database.ask("CREATE TRIGGER kept BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION kept()")
        ids = ("a@x.io", "b@x.io")
        updates = [Change(n, id_, Operation.UPDATE, id_, {"name": "new"}) for n, id_ in enumerate(ids)]
        outcomes = written(database, "people", "email", *updates)
        assert [(outcomes[n].status, outcomes[n].error_code) for n in (0, 1)] == [
            (Status.REJECTED, "SUPPRESSED"),
            (Status.OK, None),
        ]
        outcomes = written(database, "people", "email", create(0, email="a@x.io", name="new"))
        assert (outcomes[0].status, outcomes[0].error_code) == (Status.REJECTED, "SUPPRESSED")
        same = [updates[0]._replace(fields={"name": "old"}), updates[1]]
        assert {o.status for o in written(database, "people", "email", *same).values()} == {Status.OK}
        assert database.ask("SELECT name FROM people ORDER BY email") == [("old",), ("new",)]


def test_an_update_is_counted_by_the_rows_that_it_found(database: SqlVendor) -> None:
    """MySQL counts what it changed, unless it is asked otherwise."""
    database.ask("CREATE TABLE people (email varchar(50) PRIMARY KEY, name varchar(50))")
    database.ask("INSERT INTO people VALUES ('a@x.io', 'same')")
    session = database.dialect().open()
    assert session.change("UPDATE people SET name = %s WHERE email = %s", ["same", "a@x.io"]) == 1
    assert session.change("UPDATE people SET name = %s WHERE email = %s", ["same", "b@x.io"]) == 0
    session.close()


def test_a_missing_right_is_denied_and_named_by_debug(database: SqlVendor) -> None:
    database.ask("CREATE TABLE people (email varchar(50) PRIMARY KEY, name varchar(50))")
    user = "sender" if "Postgres" in type(database).__name__ else "'sender'@'127.0.0.1'"

    async def probed() -> list[str]:
        async with connected(database, SqlWire(), SCALED) as destination:
            await destination.describe("people")
            assert hasattr(destination, "probe")
            missing: list[str] = await destination.probe("people", "email")
            return missing

    assert asyncio.run(probed()) == []
    if "Postgres" in type(database).__name__:
        database.ask(f"REVOKE UPDATE, DELETE ON people FROM {user}")
        assert [line.split()[2] for line in asyncio.run(probed())] == ["SELECT", "UPDATE", "DELETE"]
    else:
        rest = "SELECT, INSERT, CREATE"
        database.ask(f"REVOKE ALL ON {database.database}.* FROM {user}")  # type: ignore[attr-defined]
        database.ask(f"GRANT {rest} ON {database.database}.* TO {user}")  # type: ignore[attr-defined]
        assert [line.split()[2] for line in asyncio.run(probed())][-2:] == ["UPDATE", "DELETE"]
    with pytest.raises(Denied):
        written(database, "people", "email", create(0, email="a@x.io"))


def test_a_deadlock_is_repeated(database: SqlVendor) -> None:
    """Another session holds the second row, and asks for the first once ours waits: the database breaks one of them."""
    database.ask("CREATE TABLE people (email varchar(50) PRIMARY KEY, name varchar(50))")
    database.ask("INSERT INTO people VALUES ('a', ''), ('b', '')")
    other = database.dialect().open()
    other.ask("UPDATE people SET name = 'theirs' WHERE email = 'b'")
    waits = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted"
        if "Postgres" in type(database).__name__
        else "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    )
    broken: list[str] = []

    def cross() -> None:
        for _ in range(100):
            if database.ask(waits) != [(0,)]:
                break
            time.sleep(0.15)  # who asks MariaDB again within a tenth of a second is told the same as before
        try:
            other.ask("UPDATE people SET name = 'theirs' WHERE email = 'a'")
            other.commit()
        except SqlFailure as e:
            broken.append(e.kind)
            other.rollback()

    async def write() -> tuple[list[Outcome], int]:
        async with connected(database, SqlWire(), SCALED) as destination:
            await destination.describe("people")
            updates = [Change(n, e, Operation.UPDATE, e, {"name": "ours"}) for n, e in enumerate("ab")]
            return await destination.write("people", None, updates), destination.retries  # type: ignore[attr-defined]

    thread = threading.Thread(target=cross)
    thread.start()
    outcomes, retries = asyncio.run(write())
    thread.join(60)
    other.close()
    assert {o.status for o in outcomes} == {Status.OK}
    assert retries >= 1 or broken == ["repeat"]
    assert sorted(database.ask("SELECT email, name FROM people")) == [("a", "ours"), ("b", "ours")]


# Values.

TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=30)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(9999, 1, 1), timezones=st.sampled_from([UTC]))  # noqa: DTZ001
VALUES: Mapping[str, tuple[str, str, st.SearchStrategy[Any]]] = {
    "word": ("text", "longtext", TEXTS),
    "whole": ("bigint", "bigint", st.integers(-(2**63), 2**63 - 1)),
    "exact": ("numeric(20, 6)", "decimal(20, 6)", st.decimals(-(10**14) + 1, 10**14 - 1, places=6)),
    "near": ("double precision", "double", st.floats(-1e300, 1e300, allow_subnormal=False)),
    "born": ("date", "date", st.dates(date(1000, 1, 1))),
    "seen": ("timestamptz", "datetime(6)", MOMENTS),
    "raw": ("bytea", "longblob", st.binary(max_size=40)),
}


@pytest.mark.parametrize("kind", VENDOR_PARAMS)
def test_values_come_back_as_they_were_sent(kind: str) -> None:
    place = list(VENDORS).index(kind)
    with fresh(kind) as database:
        columns = ", ".join(f"{name} {types[place]}" for name, types in VALUES.items())
        database.ask(f"CREATE TABLE kept (id integer PRIMARY KEY, {columns})")

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            st.lists(st.fixed_dictionaries({n: st.none() | v[2] for n, v in VALUES.items()}), min_size=1, max_size=8)
        )
        def check(rows: list[dict[str, Any]]) -> None:
            async def round_trip() -> None:
                async with connected(database, SqlWire(), SCALED, batch_rows=100) as destination:
                    await destination.describe("kept")
                    changes = [create(n, id=n, **row) for n, row in enumerate(rows)]
                    outcomes = await destination.write("kept", "id", changes)
                    assert {o.status for o in outcomes} == {Status.OK}, outcomes
                    found = await destination.read_back("kept", [str(n) for n in range(len(rows))], list(VALUES))  # type: ignore[attr-defined]
                    for n, row in enumerate(rows):
                        for name, sent in row.items():
                            stored = found[str(n)].fields[name]
                            normal = [destination.normalise("kept", name, value) for value in (sent, stored)]
                            assert normal[0] == normal[1], f"{name}: {sent!r} → {stored!r}"
                            assert same(sent, stored), f"{name}: {sent!r} → {stored!r}"

            asyncio.run(round_trip())

        check()


def same(sent: Any, stored: Any) -> bool:
    """By Python's own idea of equal; a moment without a zone is one in UTC."""
    if isinstance(stored, datetime) and stored.tzinfo is None:
        return bool(sent - stored.replace(tzinfo=UTC) == timedelta(0))
    return bool(sent == stored)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("small", 2**15, "small: the number is out of range (-32,768 to 32,767)"),
        ("small", Decimal("1.5"), "small: a number with digits behind the point"),
        ("small", "many", "small: the value is no int"),
        ("price", Decimal("1.005"), "price: 3 digits behind the point, and the column keeps 2"),
        ("price", Decimal(10**6), "price: the number is out of range (8 digits, 2 of them behind the point)"),
        ("near", 2**53 + 1, "near: more digits than the column keeps"),
        ("word", "x" * 11, "word: 11 characters, and the column takes 10"),
        ("word", "a\0b", "word: the text holds the character NUL"),
        ("word", b"bytes", "word: bytes have no form as text"),
        ("born", datetime(2024, 1, 1, 1, tzinfo=UTC), "born: a time of day"),
        ("seen", datetime(2024, 1, 1, 0, 0, 0, 7, tzinfo=UTC), "seen: parts of a second"),
    ],
)
def test_what_a_column_would_cut_round_or_wrap_is_refused_by_name(
    database: SqlVendor, column: str, value: Scalar, said: str
) -> None:
    database.ask(
        "CREATE TABLE kept (id integer PRIMARY KEY, small smallint, price numeric(8, 2), near double precision,"
        " word varchar(10), born date, seen timestamp(0) NULL)"
    )
    outcome = written(database, "kept", "id", create(0, id=1, **{column: value}))[0]
    assert outcome.status is Status.REJECTED
    assert str(outcome.message).startswith(said)
    assert outcome.in_row
    assert database.ask("SELECT count(*) FROM kept") == [(0,)]
