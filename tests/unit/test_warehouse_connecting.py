"""Connection options as libpq and dbt read them, on a real server with TLS and passwords; and what is said where one of
them is wrong."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from revetl.errors import ConfigError, WarehouseDenied, WarehouseError
from revetl.warehouse.open import open_warehouse
from revetl.warehouse.postgres import connecting
from tests.support import postgres_servers
from tests.support.certificates import Authority, authority
from tests.support.postgres_servers import PostgresServer, free_port
from tests.support.project_files import make_project, write

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/postgres.md"
pytestmark = pytest.mark.xdist_group("postgres")
PASSWORD = "s3cret-'\\ü"


@dataclasses.dataclass(frozen=True)
class Secured:
    server: PostgresServer
    ours: Authority
    others: Authority
    folder: Path  # of certificates

    def output(self, **changed: Any) -> dict[str, Any]:
        given = {**self.server.output, "dbname": "postgres", "user": "by_password", "password": PASSWORD, **changed}
        return {key: value for key, value in given.items() if value is not None}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """TLS; `by_password` has one, `by_certificate` shows one, `only_tls` may not come in without."""
    folder = tmp_path_factory.mktemp("certificates")
    ours, others = authority("ours", folder), authority("others", folder)
    rules = (
        "local all by_password scram-sha-256",
        "host all by_password 127.0.0.1/32 scram-sha-256",
        "hostssl all by_certificate 127.0.0.1/32 cert",
        "hostssl all only_tls 127.0.0.1/32 trust",
        "host all only_tls 127.0.0.1/32 reject",
        "host all by_certificate 127.0.0.1/32 reject",
    )
    with postgres_servers.server(version="15", hba=rules) as server:  # that of PyPI is built without TLS
        certificate, key = ours.sign("db.example", folder, address="127.0.0.1")
        for source, name in ((certificate, "server.crt"), (key, "server.key"), (ours.file, "root.crt")):
            target = server.data / name
            shutil.copyfile(source, target)
            target.chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(target, server.data.stat().st_uid, server.data.stat().st_gid)
        server.ask("ALTER SYSTEM SET ssl = on")
        server.ask("ALTER SYSTEM SET ssl_ca_file = 'root.crt'")
        quoted = PASSWORD.replace("'", "''")
        server.ask(f"CREATE ROLE by_password LOGIN PASSWORD '{quoted}'")
        server.ask("CREATE ROLE by_certificate LOGIN; CREATE ROLE only_tls LOGIN; CREATE ROLE no_login")
        server.ask("CREATE ROLE reporting; GRANT reporting TO by_password")
        server.ask("CREATE DATABASE closed")
        server.ask("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
        server.stop()
        server.start()
        ours.sign("by_certificate", folder)
        yield Secured(server, ours, others, folder)


@pytest.fixture(autouse=True)
def _nothing_from_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("PG"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))


def one(output: dict[str, Any], sql: str = "SELECT current_user::text", *, root: Path = Path()) -> Any:
    warehouse: Any = open_warehouse(output, root=root, state_schema="revetl")
    with closing(warehouse):
        return warehouse._native(sql)[0][0]


def refused(output: dict[str, Any], error: type[Exception] = WarehouseError) -> str:
    with pytest.raises(error) as e:
        one(output)
    assert PASSWORD not in str(e.value)
    assert "s3cret" not in str(e.value)
    return str(e.value)


# --- where a password comes from ---


def test_a_password_of_the_profile(secured: Secured) -> None:
    assert one(secured.output()) == "by_password"
    assert one(secured.output(**{"password": None, "pass": PASSWORD})) == "by_password"


def test_a_password_of_the_environment(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert one(secured.output(password="")) == "by_password"


def test_a_password_of_a_password_file(secured: Secured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    for name in ("mine", ".pgpass"):
        (tmp_path / name).write_text(f"127.0.0.1:{secured.server.port}:*:by_password:{escaped}\n")
        (tmp_path / name).chmod(0o600)
    without = secured.output(password=None)
    assert one({**without, "passfile": "mine"}, root=tmp_path) == "by_password"
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "mine"))
    assert one(without) == "by_password"
    monkeypatch.delenv("PGPASSFILE")
    assert one(without) == "by_password", "as ~/.pgpass"


def test_a_service(secured: Secured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "services"
    lines = ["[crm]", "host=127.0.0.1", f"port={secured.server.port}", "dbname=postgres", "user=by_password"]
    file.write_text("\n".join([*lines, f"password={PASSWORD}"]) + "\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    assert one({"type": "postgres", "service": "crm"}) == "by_password"
    assert one({"type": "postgres", "service": "crm", "user": "only_tls", "sslmode": "require"}) == "only_tls"
    said = refused({"type": "postgres", "service": "other"})
    assert "service 'other'" in said
    assert "PGSERVICEFILE" in said


# --- TLS ---


def test_sslmode_and_the_root_certificate(secured: Secured) -> None:
    tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert one(secured.output(sslmode="disable"), tls) is False
    assert one(secured.output(sslmode="require"), tls) is True
    trusting = {"sslmode": "verify-full", "sslrootcert": "ours.crt"}
    assert one(secured.output(**trusting), tls, root=secured.folder) is True, "a path is taken from the project"


def test_a_client_certificate(secured: Secured) -> None:
    shown = {
        "user": "by_certificate",
        "password": None,
        "sslcert": "by_certificate.crt",
        "sslkey": "by_certificate.key",
    }
    assert one(secured.output(**shown), root=secured.folder) == "by_certificate"


def test_what_is_wrong_with_tls_is_said(secured: Secured, tmp_path: Path) -> None:
    others = str(secured.others.file)
    said = refused(secured.output(sslmode="verify-full", sslrootcert=others))
    assert "certificate verify failed" in said
    assert "sslrootcert" in said
    said = refused(secured.output(sslmode="verify-ca", sslrootcert=str(tmp_path / "gone.crt")))
    assert f'root certificate file "{tmp_path}/gone.crt" does not exist' in said
    said = refused(secured.output(sslmode="verify-full", sslrootcert=str(secured.ours.file), host="localhost"))
    assert 'does not match host name "localhost"' in said or 'for "localhost"' in said
    open_key = tmp_path / "open.key"
    shutil.copyfile(secured.folder / "by_certificate.key", open_key)
    open_key.chmod(0o644)
    certificate = str(secured.folder / "by_certificate.crt")
    said = refused(secured.output(user="by_certificate", sslcert=certificate, sslkey=str(open_key)))
    assert f'private key file "{open_key}"' in said
    said = refused(secured.output(user="only_tls", sslmode="disable"), WarehouseDenied)
    assert 'pg_hba.conf rejects connection for host "127.0.0.1", user "only_tls"' in said


def test_a_server_without_tls(tmp_path: Path) -> None:
    output = {**postgres_servers.lasting_server("18").output, "dbname": "postgres", "sslmode": "require"}
    said = refused(output)
    assert "server does not support SSL" in said
    assert "sslmode" in said


# --- who is let in, and where ---


def test_what_is_wrong_with_a_login_is_said(secured: Secured) -> None:
    said = refused(secured.output(password="s3cret-wrong"), WarehouseDenied)
    assert 'password authentication failed for user "by_password"' in said
    assert "~/.pgpass" in said
    said = refused(secured.output(password=None), WarehouseDenied)
    assert "no password supplied" in said
    assert 'role "nobody" does not exist' in refused(secured.output(user="nobody"), WarehouseDenied)
    assert 'role "no_login" is not permitted to log in' in refused(secured.output(user="no_login"), WarehouseDenied)
    assert 'permission denied for database "closed"' in refused(secured.output(dbname="closed"), WarehouseDenied)
    assert "has no database 'not_there'" in refused(secured.output(dbname="not_there"))


def test_nobody_answers_at_this_place(secured: Secured, tmp_path: Path) -> None:
    said = refused(secured.output(port=free_port(), retries=0))
    assert "Connection refused" in said
    said = refused(secured.output(host=str(tmp_path), port=5432, retries=0))
    assert str(tmp_path) in said
    assert "No such file or directory" in said


def test_a_socket(secured: Secured) -> None:
    assert one(secured.output(host=str(secured.server.folder))) == "by_password"


# --- the session ---


def test_role_search_path_and_the_rest(secured: Secured) -> None:
    assert one(secured.output(role="reporting")) == "reporting"
    assert one(secured.output(search_path="pg_catalog, public"), "SHOW search_path") == "pg_catalog, public"
    assert one(secured.output(), "SHOW application_name") == "revetl"
    assert one(secured.output(application_name="nightly"), "SHOW application_name") == "nightly"
    for seconds in (0, 30):
        assert one(secured.output(keepalives_idle=seconds)) == "by_password"
    said = refused(secured.output(role="postgres"))
    assert "permission denied to set role" in said
    assert "permissions.md" in said


def test_retries(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused password is not tried again, since servers lock accounts for that."""
    asked: list[int] = []
    connected, waited = connecting._connected, []

    def counted(profile: connecting.PostgresProfile) -> Any:
        asked.append(1)
        return connected(profile)

    monkeypatch.setattr(connecting, "_connected", counted)
    for wanted in (0, 3):
        asked.clear()
        waited.clear()
        profile = connecting.PostgresProfile({"host": "127.0.0.1", "port": free_port()}, retries=wanted)
        with pytest.raises(WarehouseError, match="refused"):
            connecting.open_session(profile, waited.append)
        assert (len(asked), waited) == (wanted + 1, [1.0, 4.0, 9.0][:wanted])
    asked.clear()
    refused(secured.output(password="s3cret-wrong", retries=3), WarehouseDenied)
    assert asked == [1]


def test_what_the_profile_has_to_say() -> None:
    for lacking in ("host", "user", "dbname"):
        given = {"type": "postgres", "host": "h", "user": "u", "dbname": "d"}
        with pytest.raises(ConfigError, match=f"lacks {lacking}"):
            one({**given, lacking: ""})


# --- the guide ---


def test_every_message_of_the_guide_is_one_that_is_said(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row of the table in docs/guides/postgres.md is met by one of these, and each of these is in the table."""
    open_key = tmp_path / "open.key"
    shutil.copyfile(secured.folder / "by_certificate.key", open_key)
    open_key.chmod(0o644)
    shown = {"user": "by_certificate", "sslcert": str(secured.folder / "by_certificate.crt"), "sslkey": str(open_key)}
    others = str(secured.others.file)
    without_tls = {**postgres_servers.lasting_server("18").output, "dbname": "postgres"}
    wrong: list[dict[str, Any]] = [
        secured.output(port=free_port(), retries=0),
        secured.output(host=str(tmp_path), port=5432, retries=0),
        secured.output(password="s3cret-wrong"),
        secured.output(password=None),
        secured.output(user="nobody"),
        secured.output(user="no_login"),
        secured.output(user="only_tls", sslmode="disable"),
        secured.output(dbname="closed"),
        secured.output(dbname="not_there"),
        {**without_tls, "sslmode": "require", "retries": 0},
        secured.output(sslmode="verify-full", sslrootcert=others, retries=0),
        secured.output(sslmode="verify-full", sslrootcert=str(tmp_path / "gone"), retries=0),
        secured.output(**shown, retries=0),
        secured.output(role="postgres"),
    ]
    said = [refused(output) for output in wrong]
    opened: Any = open_warehouse(secured.output(), root=Path(), state_schema="revetl")
    with closing(opened) as warehouse:
        secured.server.ask("CREATE SCHEMA IF NOT EXISTS theirs; CREATE TABLE IF NOT EXISTS theirs.things (a bigint)")
        secured.server.ask("REVOKE USAGE ON SCHEMA theirs FROM by_password")
        for grant in ("", "GRANT USAGE ON SCHEMA theirs TO by_password"):
            if grant:
                secured.server.ask(grant)
            with pytest.raises(WarehouseError) as e:
                warehouse.rows("SELECT * FROM theirs.things")
            said.append(str(e.value))
        secured.server.ask(f"SELECT pg_terminate_backend({warehouse._db.info.backend_pid})")
        with monkeypatch.context() as patch:
            patch.setattr(connecting, "was_closed", lambda _: False)  # as if it were lost in the midst of it
            with pytest.raises(WarehouseError) as e:
                warehouse.execute("CREATE TABLE never (a BIGINT)")
        said.append(str(e.value))
    with postgres_servers.pooler(secured.server, "transaction") as output:
        said.append(refused({**output, "dbname": "postgres"}, ConfigError))
    monkeypatch.setattr(connecting, "OLDEST", 99)
    said.append(refused(secured.output(), ConfigError).replace("99", "14"))

    table = GUIDE.read_text("utf-8").partition("## Messages")[2]
    rows = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    patterns = [".*".join(map(re.escape, row.split("…"))) for row in rows]
    assert [row for row, p in zip(rows, patterns, strict=True) if not any(re.search(p, s) for s in said)] == []
    assert [s for s in said if not any(re.search(p, s) for p in patterns)] == []


def test_the_profile_of_the_guide_opens(secured: Secured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from revetl.project import load

    (text,) = re.findall(r"```yaml profile\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    make_project(tmp_path)
    write(tmp_path / "profiles/profiles.yml", text)
    dbt = tmp_path / "dbt_project/dbt_project.yml"
    write(dbt, dbt.read_text().replace("profile: tiny", "profile: my_project"))
    monkeypatch.setenv("CRM_HOST", "127.0.0.1")
    monkeypatch.setenv("CRM_PORT", str(secured.server.port))
    monkeypatch.setenv("CRM_PASSWORD", PASSWORD)
    secured.server.ask("DROP DATABASE IF EXISTS crm")
    secured.server.ask("CREATE DATABASE crm")
    secured.server.ask("DROP ROLE IF EXISTS sender")
    secured.server.ask("CREATE ROLE sender LOGIN")
    with closing(load(tmp_path, None, None).open_warehouse()) as warehouse:
        assert warehouse.rows("SELECT CAST(current_database() AS VARCHAR)") == [("crm",)]
