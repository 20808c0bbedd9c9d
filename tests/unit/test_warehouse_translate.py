"""Translation, looked at as text: here the stand-in for Snowflake is laxer than Snowflake is."""

from __future__ import annotations

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from revetl.errors import ConfigError, WarehouseDenied, WarehouseError
from revetl.model import Relation
from revetl.warehouse.sql import from_dialect, ident, literal, table
from revetl.warehouse.translate import fold, translate, unfold

DIALECTS = ("snowflake", "postgres")
# Neither a text nor a name can hold NUL, and Postgres cuts names at 63 bytes.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=15)


@settings(max_examples=300, deadline=None)
@given(name=texts, value=texts, dialect=st.sampled_from(DIALECTS))
def test_nothing_escapes(name: str, value: str, dialect: str) -> None:
    statement = translate(f"SELECT {ident(name)} FROM {table(Relation('s', name))} WHERE {literal(value)} = ?", dialect)
    tree = sqlglot.parse_one(statement.sql, read=dialect)
    assert isinstance(tree, exp.Select)
    assert [c.name for c in tree.selects] == [fold(name, dialect)]
    assert [t.name for t in tree.find_all(exp.Table)] == [fold(name, dialect)]
    assert [v.this for v in tree.find_all(exp.Literal) if v.is_string] == [value]
    assert statement.order == (0,)


@given(name=texts)
def test_names_come_back_as_they_went(name: str) -> None:
    for dialect in DIALECTS:
        if dialect == "snowflake" and name != name.lower() and name.lower() != fold(name.lower(), "snowflake"):
            continue  # PLAIN and plain are one name there
        assert unfold(fold(name, dialect), dialect) == name


def test_names_on_snowflake() -> None:
    sql = 'SELECT key, "golden_id", "First Name", "FirstName", t."at" FROM "main"."hubspot__contacts" t'
    assert translate(sql, "snowflake").sql == (
        'SELECT key, "GOLDEN_ID", "First Name", "FirstName", t."AT" FROM "MAIN"."HUBSPOT__CONTACTS" AS t'
    )
    assert translate(sql, "postgres").sql.startswith('SELECT key, "golden_id", "First Name"')


def test_values_follow_their_placeholders() -> None:
    """contains(text, part) turns round on Postgres: what was bound second comes first."""
    statement = translate("SELECT contains(?, ?), '?', \"a?\" -- ?\n FROM t WHERE x = ?", "postgres")
    assert "POSITION($1 IN $2)" in statement.sql
    assert statement.bind(["text", "part", 3]) == ["part", "text", 3]
    assert translate("SELECT contains(?, ?)", "snowflake").bind([1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("sql", "is_ddl"),
    [
        ("CREATE TABLE a (b BIGINT)", True),
        ("CREATE TEMPORARY TABLE a AS SELECT 1", True),
        ("DROP TABLE IF EXISTS a", True),
        ("ALTER TABLE a ADD COLUMN b VARCHAR", True),
        ("TRUNCATE a", True),
        ("DELETE FROM a", False),
        ("INSERT INTO a SELECT 1", False),
        ("UPDATE a SET b = 1", False),
        ("SELECT 1", False),
    ],
)
def test_what_commits_on_snowflake(sql: str, is_ddl: bool) -> None:
    assert translate(sql, "snowflake").is_ddl is is_ddl


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT 1", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a UNION ALL SELECT 2", True),
        ("WITH a AS (DELETE FROM t RETURNING x) SELECT * FROM a", False),
        ("INSERT INTO t SELECT 1", False),
        ("UPDATE t SET a = 1", False),
        ("CREATE TABLE t AS SELECT 1", False),
        ("DROP TABLE t", False),
    ],
)
def test_what_may_be_asked_again_after_a_lost_connection(sql: str, reads: bool) -> None:
    assert translate(sql, "postgres").reads is reads


def test_a_numeric_without_precision_stays_one_on_postgres() -> None:
    sql = "SELECT CAST(a AS NUMERIC), CAST(b AS DECIMAL(18,3)), CAST(c AS NUMERIC(4,1)), 'NUMERIC'"
    assert translate(sql, "postgres").sql == (
        "SELECT CAST(a AS DECIMAL), CAST(b AS DECIMAL(18, 3)), CAST(c AS DECIMAL(4, 1)), 'NUMERIC'"
    )


def test_what_can_not_be_said_is_an_error() -> None:
    with pytest.raises(WarehouseError, match="no form on postgres"):
        translate("SELECT any_value(a) FROM t", "postgres")
    with pytest.raises(WarehouseError, match="no form on snowflake"):
        translate("SELECT count(DISTINCT a) FILTER (WHERE b) FROM t", "snowflake")
    for everything in ("SELECT a, count(*) FROM t GROUP BY ALL", "SELECT a FROM t ORDER BY ALL DESC"):
        with pytest.raises(WarehouseError, match="no form on postgres"):
            translate(everything, "postgres")
    with pytest.raises(WarehouseError, match="no form on snowflake"):
        translate("SELEC 1 FROM FROM", "snowflake")
    with pytest.raises(WarehouseError, match="longer than Postgres"):
        translate(f"SELECT {ident('ü' * 32)}", "postgres")


@pytest.mark.parametrize(
    ("sql", "on_postgres"),
    [
        ("SELECT count(*) FROM (SELECT 1)", "SELECT COUNT(*) FROM (SELECT 1) AS nameless_0"),
        ("SELECT 1 FROM (VALUES (1))", "SELECT 1 FROM (VALUES (1)) AS nameless_0"),
        (
            "DELETE FROM t USING (SELECT 1 AS a) WHERE x = a",
            "DELETE FROM t USING (SELECT 1 AS a) AS nameless_0 WHERE x = a",
        ),
        ("SELECT 1 FROM ((SELECT 1) UNION (SELECT 2))", "SELECT 1 FROM ((SELECT 1) UNION (SELECT 2)) AS nameless_0"),
        # Already named; and a name here would hide those inside.
        ("SELECT 1 FROM (SELECT 1) AS a", "SELECT 1 FROM (SELECT 1) AS a"),
        ("SELECT a.x FROM (t AS a CROSS JOIN u AS b)", "SELECT a.x FROM (t AS a CROSS JOIN u AS b)"),
    ],
)
def test_every_subquery_has_a_name_on_postgres(sql: str, on_postgres: str) -> None:
    """Before 16 it must."""
    assert translate(sql, "postgres").sql == on_postgres


def test_sql_of_the_operator_is_read_in_his_dialect() -> None:
    written = from_dialect("IFF(city = 'O\\'Hara', TRUE, FALSE)", "snowflake")
    assert translate(f"SELECT {written}", "snowflake").sql in (
        "SELECT IFF(city = 'O\\'Hara', TRUE, FALSE)",
        "SELECT CASE WHEN city = 'O\\'Hara' THEN TRUE ELSE FALSE END",
    )
    with pytest.raises(ValueError, match=r"."):
        from_dialect("city = = 1", "postgres")


def test_a_private_key_as_the_profile_gives_it() -> None:
    pytest.importorskip("snowflake.connector")
    import base64

    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    from revetl.warehouse.snowflake.private_key import read_private_key

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    der = key.private_bytes(s.Encoding.DER, s.PrivateFormat.PKCS8, s.NoEncryption())
    locked = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"open"))
    assert read_private_key(base64.b64encode(der).decode(), None) == der
    assert read_private_key(locked.decode(), "open") == der
    for wrong in ("nonsense", base64.b64encode(der[:-9]).decode()):
        with pytest.raises(ConfigError, match="private_key can't be read"):
            read_private_key(wrong, None)
    with pytest.raises(ConfigError, match="private_key can't be read"):
        read_private_key(locked.decode(), "wrong")


def test_a_refused_login_is_told_without_the_password() -> None:
    errors = pytest.importorskip("snowflake.connector.errors")
    from revetl.warehouse.snowflake.failures import not_connected

    options = {"account": "acme", "user": "me", "password": "s3cret"}
    said = "250001 (08001): Failed to connect: Incorrect username or password was specified. s3cret"
    refused = not_connected(errors.DatabaseError(said, errno=250001), options)
    assert isinstance(refused, WarehouseDenied)
    assert str(refused) == "Snowflake account 'acme' refuses the user 'me'"
    away = not_connected(errors.OperationalError("no route s3cret", errno=250003), options)
    assert (type(away), "s3cret" in str(away)) == (WarehouseError, False)
