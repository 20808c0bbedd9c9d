"""Rows of the audit log that the command line and the Python API write: before an act begins, by whom and why."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from revetl.accounts.audit import LONGEST_REASON, AuditEvent, AuditLog

if TYPE_CHECKING:
    from revetl.usecases.caller import Caller
    from revetl.warehouse.base import Warehouse

_LONGEST_SUBJECT = 500


@dataclass(frozen=True, slots=True)
class ActingFor:
    """`actor`: whom the work is done for. `origin`: from where. `operation_id`: of the service that started us."""

    actor: str
    origin: str
    reason: str | None = None
    operation_id: str | None = None


def acting(face: str = "python", reason: str | None = None) -> ActingFor:
    """The user of this machine, or whom a service says that it works for. A person can say that himself: the log tells
    who did what among people who may write to the warehouse, and is no lock."""
    given = os.environ
    return ActingFor(
        actor=given.get("REVETL_ON_BEHALF_OF") or _user(),
        origin=f"{face} on {socket.gethostname()}",
        reason=(reason or given.get("REVETL_REASON") or "")[:LONGEST_REASON] or None,
        operation_id=given.get("REVETL_OPERATION") or None,
    )


def audited(warehouse: Warehouse, caller: Caller, action: str, subjects: Iterable[str | None], **details: Any) -> None:
    """Writes the row. `details`: options, of which those that say nothing are left out; no key and no value of a
    record. WarehouseError where it can't be written: then the act must not begin."""
    said = ", ".join(subject for subject in subjects if subject)
    who = caller.acting
    event = AuditEvent(
        actor=who.actor,
        origin=who.origin,
        action=action,
        subject=said[:_LONGEST_SUBJECT] or None,
        details={name: value for name, value in details.items() if value not in (None, False, (), [])},
        reason=who.reason,
        invocation_id=caller.invocation_id,
        operation_id=who.operation_id,
    )
    AuditLog(warehouse).add(event, caller.clock.now())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"user {os.getuid()}"
