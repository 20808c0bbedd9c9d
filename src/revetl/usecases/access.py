"""`revetl token` and `revetl audit`: who may use the service, and who did what."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from revetl.accounts.audit import AuditEvent, AuditLog
from revetl.accounts.roles import Role
from revetl.accounts.tokens import AccessToken, TokenTable
from revetl.usecases.auditing import audited
from revetl.usecases.caller import Caller

if TYPE_CHECKING:
    from revetl.project import Project


def create_token(
    project: Project, name: str, role: Role, caller: Caller, *, lasts: timedelta | None = None
) -> tuple[AccessToken, str]:
    """The row, and the token, which can't be had again. ConfigError for a name that is none. Each call makes one."""
    with caller.warehouse(project) as warehouse:
        now = caller.clock.now()
        ends = None if lasts is None else now + lasts
        made = TokenTable(warehouse).create(name, role, by=caller.acting.actor, now=now, expires_at=ends)
        audited(warehouse, caller, "token created", [name], role=str(role), token=made[0].token_id)
        return made


def tokens(project: Project, caller: Caller) -> list[AccessToken]:
    """The newest first, revoked ones too."""
    with caller.warehouse(project) as warehouse:
        return TokenTable(warehouse).all()


def revoke_token(project: Project, named: str, caller: Caller) -> list[AccessToken]:
    """By its id, or all of a name. ConfigError where there is none. Safe to repeat."""
    with caller.warehouse(project) as warehouse:
        found = TokenTable(warehouse).revoke(named, caller.clock.now())
        audited(warehouse, caller, "token revoked", [named], tokens=[token.token_id for token in found])
        return found


def audit(project: Project, limit: int, caller: Caller, *, subject: str = "", actor: str = "") -> list[AuditEvent]:
    """The newest first; empty where nothing was done yet."""
    with caller.warehouse(project) as warehouse:
        return AuditLog(warehouse).newest(limit, subject=subject, actor=actor)
