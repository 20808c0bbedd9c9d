"""TLS to databases: real servers that demand it, with certificates that this test signs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from revetl.destinations.sql.dialect import SqlDialect, SqlFailure
from revetl.destinations.sql.mysql import MySqlDialect
from revetl.destinations.sql.mysql import Options as MySqlOptions
from revetl.destinations.sql.postgres import Options as PostgresOptions
from revetl.destinations.sql.postgres import PostgresDialect
from tests.support.certificates import Authority, authority
from tests.support.mariadb_servers import MariaDBServer
from tests.support.postgres_servers import lasting_server

_NOBODY = 65534


@dataclass(frozen=True)
class Demanding:
    """A server that lets `tls_sender` in with TLS only. `trust`: the options that verify it by `file`."""

    dialect: Callable[[Mapping[str, Any]], SqlDialect]
    trusted: Authority
    other: Authority
    trust: Callable[[Path], dict[str, Any]]
    plain: Mapping[str, Any]

    def version(self, **options: Any) -> str:
        """What the server says of the session."""
        dialect = self.dialect(options)
        session = dialect.open()
        try:
            return dialect.account(session)
        finally:
            session.close()

    def refusal(self, **options: Any) -> SqlFailure:
        with pytest.raises(SqlFailure) as raised:
            self.version(**options)
        return raised.value


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority, Path]:
    folder = tmp_path_factory.mktemp("certificates")
    return authority("Trusted", folder), authority("Other", folder), folder


@pytest.fixture(scope="module")
def postgres(authorities: tuple[Authority, Authority, Path]) -> Iterator[Demanding]:
    """Debian's, for the one from PyPI is built without TLS. It is taken up and put down without a restart."""
    trusted, other, folder = authorities
    server = lasting_server("15")
    for file, name in zip(trusted.sign("pg", folder, address="127.0.0.1"), ("tls.crt", "tls.key"), strict=True):
        shutil.copy(file, server.data / name)
        if os.geteuid() == 0:
            os.chown(server.data / name, _NOBODY, _NOBODY)
        (server.data / name).chmod(0o600)
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"hostssl all tls_sender 127.0.0.1/32 trust\nhost all tls_sender 127.0.0.1/32 reject\n{before}")
    for name, value in (("ssl_cert_file", "tls.crt"), ("ssl_key_file", "tls.key"), ("ssl", "on")):
        server.ask(f"ALTER SYSTEM SET {name} = '{value}'")
    server.ask("SELECT pg_reload_conf()")
    server.ask("CREATE ROLE tls_sender LOGIN")
    place = {"host": "127.0.0.1", "port": server.port, "user": "tls_sender", "dbname": "postgres"}
    yield Demanding(
        lambda options: PostgresDialect(PostgresOptions.model_validate({**place, **options})),
        trusted,
        other,
        lambda file: {"sslmode": "verify-full", "sslrootcert": str(file)},
        {"sslmode": "disable"},
    )
    server.ask("DROP ROLE tls_sender")
    for name in ("ssl", "ssl_cert_file", "ssl_key_file"):
        server.ask(f"ALTER SYSTEM RESET {name}")
    rules.write_text(before)
    server.ask("SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def mariadb(authorities: tuple[Authority, Authority, Path]) -> Iterator[Demanding]:
    trusted, other, folder = authorities
    server = MariaDBServer(certificate=trusted.sign("mariadb", folder, address="127.0.0.1"))
    server.ask("CREATE DATABASE crm")
    server.ask("CREATE USER 'tls_sender'@'127.0.0.1' REQUIRE SSL")
    server.ask("GRANT ALL ON crm.* TO 'tls_sender'@'127.0.0.1'")
    place = {"host": "127.0.0.1", "port": server.port, "user": "tls_sender", "database": "crm"}
    yield Demanding(
        lambda options: MySqlDialect(MySqlOptions.model_validate({**place, **options})),
        trusted,
        other,
        lambda file: {"ssl_ca": str(file), "ssl_verify_cert": True, "ssl_verify_identity": True},
        {},
    )
    server.close()


@pytest.fixture(params=[pytest.param(k, marks=pytest.mark.xdist_group(k)) for k in ("postgres", "mariadb")])
def server(request: pytest.FixtureRequest) -> Demanding:
    found: Demanding = request.getfixturevalue(request.param)
    return found


def test_a_server_that_demands_tls_is_verified_by_the_authority_that_is_named(server: Demanding) -> None:
    assert "TLSv1." in server.version(**server.trust(server.trusted.file))


def test_another_authority_is_a_failure_of_tls_and_not_of_a_server_that_is_away(server: Demanding) -> None:
    refused = server.refusal(**server.trust(server.other.file))
    assert (refused.kind, refused.code) == ("denied", "TLS")
    assert "the certificate is not signed by the authority that is trusted here" in str(refused)


def test_a_certificate_for_another_host_is_told_as_that(server: Demanding) -> None:
    refused = server.refusal(**server.trust(server.trusted.file), host="localhost")
    assert (refused.kind, refused.code) == ("denied", "TLS")
    assert "for another host" in str(refused)


@pytest.mark.xdist_group("postgres")
def test_without_tls_the_server_lets_nobody_in_and_that_is_said(postgres: Demanding) -> None:
    refused = postgres.refusal(**postgres.plain)
    assert (refused.kind, refused.code) == ("denied", "TLS")


@pytest.mark.xdist_group("mariadb")
def test_where_the_server_offers_it_tls_is_used_unasked(mariadb: Demanding) -> None:
    assert "TLSv1." in mariadb.version()
