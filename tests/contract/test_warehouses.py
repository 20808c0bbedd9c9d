"""What every warehouse promises, on all three; and what only one of them has to mind."""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from revetl.errors import ConfigError, WarehouseDenied, WarehouseError
from revetl.model import Relation, Scalar
from revetl.warehouse.base import Warehouse
from revetl.warehouse.copying import copy_tables
from revetl.warehouse.duckdb import DuckDBWarehouse
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.sql import ident, literal, table
from tests.support.warehouses import EVERY_VERSION, SCHEMA, new_database, new_warehouse

T = Relation(SCHEMA, "things")
NAME = table(T)
MOMENT = datetime.fromisoformat("2024-02-29T23:59:58.123456")  # without a zone, as the tables hold UTC
TYPES = {
    "id": "BIGINT",
    "name": "VARCHAR",
    "amount": "DECIMAL(18,6)",
    "score": "DOUBLE",
    "ok": "BOOLEAN",
    "born": "DATE",
    "seen": "TIMESTAMP",
    "zoned": "TIMESTAMPTZ",
}
ROWS: list[tuple[Scalar, ...]] = [
    (1, "a", Decimal("1.500000"), 0.1, True, date(1999, 12, 31), MOMENT, MOMENT.replace(tzinfo=UTC)),
    (2, 'it\'s "q" \\ % ? $1 ü 漢 \n\t', Decimal("-999999999999.999999"), -1e300, False, None, None, None),
    (3, "", None, None, None, None, None, None),
    (4, None, None, None, None, None, None, None),
]
ARROW = [
    pa.int64(),
    pa.string(),
    pa.decimal128(18, 6),
    pa.float64(),
    pa.bool_(),
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("us", "UTC"),
]


@pytest.fixture(params=EVERY_VERSION)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def warehouse(kind: str, tmp_path: Path) -> Iterator[Warehouse]:
    with new_warehouse(kind, tmp_path) as opened:
        yield opened


@pytest.fixture
def things(warehouse: Warehouse) -> Warehouse:
    """With an empty table of every type that matters."""
    warehouse.execute(f"CREATE TABLE {NAME} ({', '.join(f'{ident(n)} {t}' for n, t in TYPES.items())})")
    return warehouse


def arrow(rows: list[tuple[Scalar, ...]]) -> pa.Table:
    arrays = [pa.array(cells, type_) for cells, type_ in zip(zip(*rows, strict=True), ARROW, strict=True)]
    return pa.table(arrays, names=list(TYPES))


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """UTC by one name."""
    return [tuple(c.astimezone(UTC) if isinstance(c, datetime) and c.tzinfo else c for c in row) for row in rows]


def test_what_is_appended_comes_back_as_it_was(things: Warehouse) -> None:
    things.append(T, arrow(ROWS))
    assert plain(things.rows(f"SELECT * FROM {NAME} ORDER BY id")) == ROWS


def test_what_is_bound_comes_back_as_it_was(things: Warehouse) -> None:
    for row in ROWS:
        things.execute(f"INSERT INTO {NAME} VALUES ({', '.join('?' for _ in row)})", row)
    assert plain(things.rows(f"SELECT * FROM {NAME} ORDER BY id")) == ROWS
    for position, name in enumerate(TYPES):
        found = things.rows(f"SELECT id FROM {NAME} WHERE {ident(name)} = ?", [ROWS[0][position]])
        assert found == [(1,)], name


def test_what_is_streamed_comes_back_as_it_was(things: Warehouse) -> None:
    things.append(T, arrow(ROWS))
    batches = list(things.stream(f"SELECT * FROM {NAME} WHERE id < ? ORDER BY id", [99], batch_rows=3))
    assert [b.schema.names for b in batches] == [list(TYPES)] * len(batches)
    assert all(b.num_rows <= 3 for b in batches)
    assert plain([tuple(row.values()) for b in batches for row in b.to_pylist()]) == ROWS
    assert all(
        type(cell) in (int, str, Decimal, float, bool, date, datetime) for cell in batches[0].to_pylist()[0].values()
    )


def test_nothing_to_stream_is_no_batch(things: Warehouse) -> None:
    assert list(things.stream(f"SELECT * FROM {NAME}")) == []


def test_statements_and_transactions_between_two_pieces(things: Warehouse) -> None:
    rows = [(i, str(i), *[None] * 6) for i in range(2_500)]
    things.append(T, arrow(rows))
    seen = []
    for batch in things.stream(f"SELECT id FROM {NAME} ORDER BY id", batch_rows=1_000):
        seen += batch.column("id").to_pylist()
        with things.transaction():
            things.execute(f"DELETE FROM {NAME} WHERE id >= 2000")
            assert things.rows("SELECT 1") == [(1,)]
    assert seen == list(range(2_500))


def test_a_stream_may_be_left_early(things: Warehouse) -> None:
    things.append(T, arrow([(i, None, *[None] * 6) for i in range(50)]))
    first = next(things.stream(f"SELECT id FROM {NAME} ORDER BY id", batch_rows=10))
    assert first.column("id").to_pylist() == list(range(10))
    things.execute(f"DROP TABLE {NAME}")


def test_append_matches_by_name_and_fills_the_rest_with_null(things: Warehouse) -> None:
    things.append(T, pa.table({"name": ["x"], "id": [7]}))
    assert things.rows(f"SELECT id, name, amount FROM {NAME}") == [(7, "x", None)]
    things.append(T, pa.table({"id": pa.array([], pa.int64())}))
    assert things.rows(f"SELECT count(*) FROM {NAME}") == [(1,)]


def test_a_large_append(things: Warehouse) -> None:
    rows = [(i, "ü" * 500, *[None] * 6) for i in range(6_000)]
    things.append(T, arrow(rows))
    assert things.rows(f"SELECT count(*), sum(length(name)) FROM {NAME}") == [(6_000, 3_000_000)]


def test_a_transaction_is_whole_or_nothing(things: Warehouse) -> None:
    with things.transaction():
        things.append(T, arrow(ROWS[:1]))
        things.execute(f"UPDATE {NAME} SET name = 'b' WHERE id = 1")

    def broken_off() -> None:
        with things.transaction():
            things.append(T, arrow(ROWS[1:]))
            things.execute(f"DELETE FROM {NAME} WHERE id = 1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_off()
    assert things.rows(f"SELECT id, name FROM {NAME}") == [(1, "b")]


def test_a_failed_statement_ends_its_transaction_and_not_the_connection(things: Warehouse) -> None:
    def failing() -> None:
        with things.transaction():
            things.append(T, arrow(ROWS))
            things.execute("SELECT * FROM not_there")

    with pytest.raises(WarehouseError):
        failing()
    assert things.rows(f"SELECT count(*) FROM {NAME}") == [(0,)]
    with things.transaction():
        things.append(T, arrow(ROWS[:1]))
    assert things.rows(f"SELECT count(*) FROM {NAME}") == [(1,)]


def test_transactions_do_not_nest(things: Warehouse) -> None:
    with things.transaction(), pytest.raises(RuntimeError), things.transaction():
        pass
    with things.transaction():
        pass


def test_columns_in_one_spelling(things: Warehouse) -> None:
    found = things.columns(T)
    assert [c.name for c in found] == list(TYPES)
    spelled = {c.name: c.type.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ") for c in found}
    if things.dialect == "snowflake":
        assert spelled.pop("id").startswith(("DECIMAL(38,0)", "DECIMAL(19,0)"))
    assert spelled == {n: t for n, t in TYPES.items() if n in spelled}
    assert things.columns(Relation(SCHEMA, "not_there")) == []


def test_columns_are_made_again_from_their_types(things: Warehouse) -> None:
    more = Relation(SCHEMA, "more")
    types = ("SMALLINT", "INTEGER", "FLOAT", "DECIMAL(38,10)", "BLOB", "TIME", "HUGEINT", "UBIGINT")
    things.execute(f"CREATE TABLE {table(more)} ({', '.join(f'c{i} {t}' for i, t in enumerate(types))})")
    for original in (T, more):
        copy = Relation(SCHEMA, f"copy of {original.name}")
        columns = ", ".join(f"{ident(c.name)} {c.type}" for c in things.columns(original))
        things.execute(f"CREATE TABLE {table(copy)} ({columns})")
        assert things.columns(copy) == things.columns(original)


def test_the_tables_of_a_schema(things: Warehouse) -> None:
    things.execute(f"CREATE VIEW {table(Relation(SCHEMA, 'seen'))} AS SELECT id FROM {NAME}")
    assert things.tables(SCHEMA) == {"things": list(TYPES), "seen": ["id"]}
    assert things.tables("not_there") == {}


def test_tables_are_copied_again_under_views(things: Warehouse) -> None:
    source = DuckDBWarehouse(":memory:", threads=1)
    source.execute(f"CREATE SCHEMA {SCHEMA}")
    for rows in (ROWS, ROWS[:2]):
        source.execute(f"DROP TABLE IF EXISTS {NAME}")
        source.execute(f"CREATE TABLE {NAME} ({', '.join(f'{ident(n)} {t}' for n, t in TYPES.items())})")
        source.append(T, arrow(rows))
        assert copy_tables(source, things, [T]) == {f"{SCHEMA}.things": len(rows)}
        assert plain(things.rows(f"SELECT * FROM {NAME} ORDER BY id")) == rows
        things.execute(f"CREATE OR REPLACE VIEW {SCHEMA}.seen AS SELECT id FROM {NAME}")
    source.execute(f"ALTER TABLE {NAME} DROP COLUMN name")
    copy_tables(source, things, [T])
    assert [c.name for c in things.columns(T)] == [n for n in TYPES if n != "name"]
    source.close()


def test_kinds(things: Warehouse) -> None:
    view = Relation(SCHEMA, "seen")
    things.execute(f"CREATE VIEW {table(view)} AS SELECT id FROM {NAME}")
    assert things.kind(view) == "view"
    assert things.kind(T) == "table"
    assert things.kind(Relation(SCHEMA, "not_there")) is None
    assert things.columns(view)[0].name == "id"


HOSTILE = ['a"b', "a b", "a'b", "a;--", "a?b", "select", "Ünï", "MixedCase", "a$1", "%s", "a\\b", "x]", "{{x}}"]


def test_hostile_names(warehouse: Warehouse) -> None:
    for name in HOSTILE:
        hostile = Relation(SCHEMA, f"t {name}")
        warehouse.execute(f"CREATE TABLE {table(hostile)} ({ident(name)} VARCHAR, {ident('key')} BIGINT)")
        warehouse.append(hostile, pa.table({name: ["v"], "key": [1]}))
        warehouse.execute(f"UPDATE {table(hostile)} SET {ident(name)} = ? WHERE {ident(name)} = {literal('v')}", [name])
        assert warehouse.rows(f"SELECT {ident(name)} FROM {table(hostile)}") == [(name,)]
        assert [c.name for c in warehouse.columns(hostile)] == [name, "key"]
        (batch,) = warehouse.stream(f"SELECT {ident(name)}, {literal(name)} AS said FROM {table(hostile)}")
        assert batch.to_pylist() == [{name: name, "said": name}]


def test_a_schema_that_is_there_is_not_made_again(kind: str, warehouse: Warehouse) -> None:
    for name in (
        "made",
        *(HOSTILE if kind != "snowflake" else ()),
    ):  # its stand-in can't read a schema's name in quotes
        schema = f"s {name}"
        for _ in range(2):
            warehouse.execute(f"CREATE SCHEMA IF NOT EXISTS {ident(schema)}")
        warehouse.execute(f"CREATE TABLE {table(Relation(schema, 't'))} (a BIGINT)")
        assert warehouse.tables(schema) == {"t": ["a"]}


def test_scratch_tables_are_this_connections_own(warehouse: Warehouse) -> None:
    warehouse.execute(f"CREATE SCHEMA {ident(warehouse.state_schema)}")
    scratch = warehouse.scratch("revetl_scratch")
    warehouse.execute(f"CREATE TEMPORARY TABLE {table(scratch)} (a BIGINT)")
    warehouse.append(scratch, pa.table({"a": [1, 2]}))
    warehouse.execute(f"DELETE FROM {table(scratch)} WHERE a = 1")
    assert warehouse.rows(f"SELECT a FROM {table(scratch)}") == [(2,)]
    warehouse.execute(f"DROP TABLE IF EXISTS {table(scratch)}")
    warehouse.execute(f"DROP TABLE IF EXISTS {table(scratch)}")


def test_transaction_with_ddl(warehouse: Warehouse) -> None:
    with warehouse.transaction(ddl=True):
        warehouse.execute(f"CREATE TABLE {NAME} (a BIGINT)")
        warehouse.execute(f"INSERT INTO {NAME} VALUES (1)")
    assert warehouse.rows(f"SELECT * FROM {NAME}") == [(1,)]


# --- what statements may use ---


def test_one_meaning_of_every_construct(things: Warehouse) -> None:
    """The dialects differ in each of these; ours is DuckDB's meaning."""
    things.append(T, arrow(ROWS))

    def one(expression: str, *params: Scalar) -> Any:
        return things.rows(f"SELECT {expression} FROM {NAME} WHERE id = 1", params)[0][0]

    assert one("concat_ws(',', NULL, 'a', CAST(NULL AS VARCHAR), 'b')") == "a,b"
    assert one("concat_ws(',', CASE WHEN id = 2 THEN 'x' END)") == ""
    assert one("contains(name, ?)", "a") is True
    assert one("contains('a%_b', '%_')") is True
    assert one("TRY_CAST(name AS DECIMAL(18,3))") is None
    assert one("TRY_CAST(amount AS DECIMAL(18,3))") == Decimal("1.500")
    assert one("TRY_CAST(TRY_CAST(seen AS VARCHAR) AS TIMESTAMP)") == MOMENT
    assert one("TRY_CAST('2024-02-30' AS DATE)") is None
    assert one("isnan(CAST('nan' AS DOUBLE))") is True
    assert one("isnan(score)") is False
    assert one("starts_with(?, ?)", "abc", "ab") is True
    assert one("right('abc', 2)") == "bc"
    assert one("CAST(to_json(name || '\"') AS VARCHAR)") == '"a\\""'
    assert one("CAST(to_json(ok) AS VARCHAR)") == "true"
    assert one("CAST(to_json(id) AS VARCHAR)") == "1"
    assert one("id / 2") == 0.5
    assert one("name IS DISTINCT FROM NULL") is True
    assert one("md5('a' || chr(31) || name)") == hashlib.md5(b"a\x1fa").hexdigest()
    assert things.rows(f"SELECT count(*) FILTER (WHERE name IS NULL), count(*) FILTER (WHERE ok) FROM {NAME}") == [
        (1, 1)
    ]
    filtered = "sum(id) FILTER (WHERE name IS NOT NULL), min(id) FILTER (WHERE id > 2), max(id) FILTER (WHERE id > 9)"
    assert [int(str(n or 0)) for n in things.rows(f"SELECT {filtered} FROM {NAME}")[0]] == [6, 3, 0]
    assert [r[0] for r in things.rows(f"SELECT id FROM {NAME} ORDER BY amount DESC, id")] == [1, 2, 3, 4]
    top = f"SELECT id FROM {NAME} QUALIFY row_number() OVER (PARTITION BY ok ORDER BY id DESC) = 1 ORDER BY id"
    assert [r[0] for r in things.rows(top)] == [1, 2, 4]


def test_hashes_tell_rows_apart(things: Warehouse) -> None:
    things.append(T, arrow(ROWS))
    columns = ", ".join(map(ident, TYPES))
    hashes = [r[0] for r in things.rows(f"SELECT hash({columns}) FROM {NAME} ORDER BY id")]
    assert len(set(hashes)) == 4
    assert hashes == [r[0] for r in things.rows(f"SELECT hash({columns}) FROM {NAME} ORDER BY id")]
    things.execute(f"CREATE TABLE {table(Relation(SCHEMA, 'kept'))} (h UBIGINT)")
    things.execute(f"INSERT INTO {table(Relation(SCHEMA, 'kept'))} SELECT hash({columns}) FROM {NAME}")
    same = f"SELECT count(*) FROM {table(Relation(SCHEMA, 'kept'))} k JOIN {NAME} t ON hash({columns}) = k.h"
    assert things.rows(same) == [(4,)]


# --- errors ---


def test_errors_do_not_show_values(things: Warehouse) -> None:
    things.append(T, arrow(ROWS))
    with pytest.raises(WarehouseError) as e:
        things.rows(f"SELECT CAST(name AS BIGINT) FROM (SELECT 'secret@example.com' AS name FROM {NAME}) t")
    assert "secret" not in str(e.value)
    with pytest.raises(WarehouseError) as e:
        things.execute(f"INSERT INTO {NAME} (id) VALUES (CAST(? AS BIGINT))", ["secret@example.com"])
    assert "secret" not in str(e.value)


def test_a_missing_table_is_named(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match=r"(?i)not_there"):
        warehouse.rows("SELECT * FROM not_there")


@pytest.mark.parametrize("kind_", ["postgres", "snowflake"])
def test_nobody_answers(kind_: str, tmp_path: Path) -> None:
    output = {
        "type": kind_,
        "host": "127.0.0.1",
        "port": 1,
        "user": "me",
        "password": "s3cret",
        "account": "acme",
        "dbname": "db",
        "database": "db",
        "protocol": "http",
        "connect_timeout": 1,
    }
    with pytest.raises(WarehouseError, match="can't be reached") as e:
        open_warehouse(output, root=tmp_path, state_schema="revetl")
    assert "s3cret" not in str(e.value)
    assert e.value.exit_code == 1


def test_postgres_refuses_a_user(tmp_path: Path) -> None:
    with new_database("postgres", tmp_path) as output, pytest.raises(WarehouseDenied, match="'nobody'") as e:
        open_warehouse({**output, "user": "nobody", "password": "s3cret"}, root=tmp_path, state_schema="revetl")
    assert "s3cret" not in str(e.value)
    assert e.value.exit_code == 4


def test_a_profile_that_lacks_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lacks user, dbname"):
        open_warehouse({"type": "postgres", "host": "x", "user": ""}, root=tmp_path, state_schema="revetl")
    with pytest.raises(ConfigError, match="lacks account, user, database"):
        open_warehouse({"type": "snowflake"}, root=tmp_path, state_schema="revetl")


# --- one warehouse each ---


def test_ddl_inside_a_transaction_is_refused_on_snowflake(tmp_path: Path) -> None:
    with new_warehouse("snowflake", tmp_path) as snowflake:
        with pytest.raises(RuntimeError, match="DDL would commit"), snowflake.transaction():
            snowflake.execute(f"CREATE TABLE {NAME} (a BIGINT)")
        assert snowflake.kind(T) is None


@pytest.mark.parametrize("kind_", ["duckdb", "postgres"])
def test_ddl_is_rolled_back_elsewhere(kind_: str, tmp_path: Path) -> None:
    with new_warehouse(kind_, tmp_path) as opened:

        def broken_off() -> None:
            with opened.transaction(ddl=True):
                opened.execute(f"CREATE TABLE {NAME} (a BIGINT)")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            broken_off()
        assert opened.kind(T) is None


def test_what_snowflake_does_not_have_is_refused_by_its_stand_in(tmp_path: Path) -> None:
    """It is DuckDB inside, and would take what a translation passes through by mistake."""
    with new_warehouse("snowflake", tmp_path) as snowflake:
        for sql in ("SELECT COUNT(*) FILTER (WHERE TRUE)", "SELECT list(1)", "SELECT isnan(CAST(1 AS DOUBLE))"):
            with pytest.raises(WarehouseError, match="Snowflake has no"):
                snowflake._native(sql)
        assert snowflake._native("SELECT 'list(' AS \"FILTER (\"") == [("list(",)]
        one = "SELECT 1 AS a"
        assert snowflake._native(f"SELECT a FROM ({one}) t WHERE NOT EXISTS (SELECT 1 FROM ({one}) u WHERE u.a > t.a)")
        with pytest.raises(WarehouseError, match="Unsupported subquery"):
            snowflake._native(
                f"SELECT CASE WHEN EXISTS (SELECT 1 FROM ({one}) u WHERE u.a = t.a) THEN 1 END FROM ({one}) t"
            )


def test_names_of_snowflake(tmp_path: Path) -> None:
    """What dbt makes without quotes is upper case there, and is called lower case here."""
    with new_warehouse("snowflake", tmp_path) as snowflake:
        run = snowflake._native
        run(f'CREATE TABLE {SCHEMA}.made_by_dbt (golden_id VARCHAR, "First Name" VARCHAR)')
        made = Relation(SCHEMA, "made_by_dbt")
        assert [c.name for c in snowflake.columns(made)] == ["golden_id", "First Name"]
        run(f'CREATE TABLE {SCHEMA}."HIDDEN" ("lower" VARCHAR)')
        with pytest.raises(WarehouseError, match="'lower'"):
            snowflake.columns(Relation(SCHEMA, "hidden"))


def test_names_that_postgres_would_cut(tmp_path: Path) -> None:
    with new_warehouse("postgres", tmp_path) as postgres, pytest.raises(WarehouseError, match="longer than Postgres"):
        postgres.execute(f"CREATE TABLE {NAME} ({ident('a' * 64)} BIGINT)")


def test_a_stream_that_the_garbage_collector_ends_in_the_midst_of_a_write(tmp_path: Path) -> None:
    """As after an exception whose traceback holds it: it must not wait for the connection, which waits for it."""

    class Collecting:
        """Rows that are made while they are written; garbage is collected meanwhile."""

        num_rows, column_names = 1, ("id",)

        def to_batches(self, max_chunksize: int) -> Iterator[pa.RecordBatch]:
            gc.collect()
            yield pa.record_batch({"id": [51]})

    with new_warehouse("postgres", tmp_path) as postgres:
        postgres.execute(f"CREATE TABLE {NAME} (id BIGINT)")
        postgres.append(T, pa.table({"id": range(50)}))
        stream = postgres.stream(f"SELECT id FROM {NAME}", batch_rows=10)
        assert next(stream).num_rows == 10
        circle: list[Any] = [stream]
        circle.append(circle)
        del stream, circle
        writer = threading.Thread(target=postgres.append, args=(T, Collecting()), daemon=True)
        writer.start()
        writer.join(20)
        assert not writer.is_alive(), "the write waits for ever"
        assert postgres.rows(f"SELECT count(*) FROM {NAME}") == [(51,)]
        assert postgres.rows("SELECT count(*) FROM pg_cursors") == [(0,)], "nothing is kept at the server"


def test_types_of_postgres(tmp_path: Path) -> None:
    """A numeric without precision keeps every digit, json and uuid come as text, an enumeration is text."""
    import psycopg

    uuid, number = "b6a7b1f6-6d1e-4f6a-9d7e-0c4c4e0f9b11", Decimal("1.2345678901234567890123")
    with new_database("postgres", tmp_path) as output:
        opened = open_warehouse(output, root=tmp_path, state_schema="revetl")
        place = {key: output[key] for key in ("host", "port", "user", "dbname")}
        with psycopg.connect(**place, autocommit=True) as db:
            db.execute(f"CREATE SCHEMA {SCHEMA}")
            db.execute(f"CREATE TYPE {SCHEMA}.mood AS ENUM ('fine')")
            db.execute(f"CREATE TABLE {NAME} (j jsonb, u uuid, n numeric, p numeric(10,2), m {SCHEMA}.mood, a int[])")
        columns = opened.columns(T)
        assert [c.type for c in columns] == ["JSON", "UUID", "NUMERIC", "DECIMAL(10,2)", "VARCHAR", "INTEGER[]"]
        opened.execute(f"CREATE TABLE {table(Relation(SCHEMA, 'copy'))} (n {columns[2].type})")
        assert opened.columns(Relation(SCHEMA, "copy"))[0].type == "NUMERIC"
        opened.execute(f"INSERT INTO {NAME} (j, u, n, m) VALUES (?, ?, ?, ?)", ['{"a": 1}', uuid, number, "fine"])
        wanted = ('{"a": 1}', uuid, number, None, "fine", None)
        assert opened.rows(f"SELECT * FROM {NAME}") == [wanted]
        (batch,) = opened.stream(f"SELECT * FROM {NAME}")
        assert tuple(batch.to_pylist()[0].values()) == wanted
        for number in ("NaN", "Infinity", "1e100"):
            opened.execute(f"UPDATE {NAME} SET n = CAST(? AS NUMERIC)", [number])
            with pytest.raises(WarehouseError, match="column 'n' holds a value") as e:
                list(opened.stream(f"SELECT n FROM {NAME}"))
            assert number not in str(e.value)
        opened.close()
