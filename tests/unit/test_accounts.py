"""Tokens, roles and the audit log, below any service; and that the command line's acts stand in the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from revetl.accounts.audit import AuditEvent, AuditLog
from revetl.accounts.roles import Principal, Right, Role
from revetl.accounts.tokens import PREFIX, TokenTable, digest_of
from revetl.errors import ConfigError
from revetl.usecases.auditing import ActingFor, acting, audited
from revetl.usecases.caller import Caller
from revetl.warehouse.base import Warehouse
from tests.support.service_world import emptied, state_in_memory

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def state() -> Iterator[Warehouse]:
    warehouse = state_in_memory()
    yield warehouse
    warehouse.close()


@pytest.fixture
def warehouse(state: Warehouse) -> Warehouse:
    return emptied(state)


def test_a_role_has_the_rights_of_those_before_it() -> None:
    rights = [{right for right in Right if Principal("x", role).may(right)} for role in Role]
    assert rights == [{Right.READ}, {Right.READ, Right.ACT}, {Right.READ, Right.ACT, Right.DECIDE}]


def test_a_token_is_kept_as_a_digest_and_ends_when_it_is_told(warehouse: Warehouse) -> None:
    table = TokenTable(warehouse)
    made, secret = table.create("ada", Role.OPERATOR, by="root", now=NOW, expires_at=NOW + timedelta(days=1))
    other, second = table.create("ada", Role.VIEWER, by="root", now=NOW + timedelta(seconds=1))
    assert secret.startswith(PREFIX)
    assert len(secret) - len(PREFIX) == 43  # 256 bits
    assert secret != second
    assert digest_of(secret) == made.digest
    assert secret not in str(warehouse.rows("SELECT * FROM revetl.access_tokens"))
    assert [token.token_id for token in table.all()] == [other.token_id, made.token_id]
    assert made.holds(NOW)
    assert not made.holds(NOW + timedelta(days=1))
    table.used([made.token_id], NOW + timedelta(hours=1))
    ended = table.revoke("ada", NOW + timedelta(hours=2))
    assert [token.token_id for token in ended] == [other.token_id, made.token_id]
    assert [token.holds(NOW + timedelta(hours=3)) for token in table.all()] == [False, False]
    with pytest.raises(ConfigError):
        table.revoke("nobody", NOW)


@pytest.mark.parametrize("name", ["", " ada", "ada ", "a\nb", "a\u202eb", "x" * 101])
def test_a_name_that_nobody_could_tell_apart_is_refused(warehouse: Warehouse, name: str) -> None:
    with pytest.raises(ConfigError):
        TokenTable(warehouse).create(name, Role.VIEWER, by="root", now=NOW)


def test_the_log_is_paged_by_moment_and_id_and_no_row_is_lost(warehouse: Warehouse) -> None:
    log = AuditLog(warehouse)
    for i in range(7):
        event = AuditEvent(actor="ada", origin="api", action="sync", subject="a" if i % 2 else "b")
        log.add(event, NOW + timedelta(seconds=i // 3))  # several of one moment
    found: list[str] = []
    before = None
    while page := log.newest(2, before=before):
        found += [event.event_id for event in page]
        last = page[-1]
        assert last.at is not None
        before = (last.at, last.event_id)
    assert len(found) == len(set(found)) == 7
    assert len(log.newest(subject="a")) == 3
    assert log.newest(actor="grace") == []


def test_who_acts_at_the_command_line_is_the_user_or_whom_a_service_works_for(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVETL_REASON", "from the environment")
    assert acting("command line").reason == "from the environment"
    assert acting("command line", "said").reason == "said"
    monkeypatch.setenv("REVETL_ON_BEHALF_OF", "grace")
    monkeypatch.setenv("REVETL_OPERATION", "op1")
    caller = Caller(acting=acting("command line"))
    audited(warehouse, caller, "sync", ["a", None, "b"], limit=None, full_refresh=False, allow=["rows"])
    (event,) = AuditLog(warehouse).newest()
    assert (event.actor, event.operation_id, event.subject) == ("grace", "op1", "a, b")
    assert event.details == {"allow": ["rows"]}
    assert event.invocation_id == caller.invocation_id
    assert isinstance(caller.acting, ActingFor)
