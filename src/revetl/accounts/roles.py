"""Roles and rights. A role has the rights of those before it: viewer, operator, approver."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Right(StrEnum):
    """READ: whatever a person may look at, values of records too. ACT: plan, send, retry, fill gaps, take back. DECIDE:
    agree to a plan, erase a person, read the audit log."""

    READ = "read"
    ACT = "act"
    DECIDE = "decide"


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"


_RIGHTS: dict[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.OPERATOR: frozenset({Right.READ, Right.ACT}),
    Role.APPROVER: frozenset({Right.READ, Right.ACT, Right.DECIDE}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever asks. `name` stands for one person or one program, however many tokens it has: two tokens of one name are
    not two people. `token_id` is None of who reads the page on this machine without an account."""

    name: str
    role: Role
    token_id: str | None = None

    def may(self, right: Right) -> bool:
        return right in _RIGHTS[self.role]
