"""`access_tokens`: who may use the service. What is kept of a token is its SHA-256.

A token is 256 random bits, so nobody finds it by trying, and a slow hash, which is for words that people think up,
would add nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from revetl.accounts.roles import Principal, Role
from revetl.clock import naive
from revetl.errors import ConfigError
from revetl.model import Scalar
from revetl.state.schema import TABLES, create_all, relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, table

PREFIX = "revetl_"  # by which scanners of secrets know it
LONGEST_NAME = 100
_COLUMNS = tuple(name for name, _ in TABLES["access_tokens"])
_TIMES = ("created_at", "expires_at", "revoked_at", "last_used_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """One row. `expires_at` None: it lasts until it is revoked. `last_used_at` is exact to five minutes."""

    token_id: str
    name: str
    role: Role
    digest: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def principal(self) -> Principal:
        return Principal(self.name, self.role, self.token_id)


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class TokenTable:
    """The table in one warehouse. Reading gives nothing where it is not there yet."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._relation = relation(warehouse, "access_tokens")
        self._table = table(self._relation)

    def create(
        self, name: str, role: Role, *, by: str, now: datetime, expires_at: datetime | None = None
    ) -> tuple[AccessToken, str]:
        """The row, and the token itself, which can't be had again. ConfigError for a name that nobody could tell from
        another, or an end that is past. Not safe to repeat: each call makes another token."""
        if not name.strip() or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise ConfigError(f"a token's name is 1 to {LONGEST_NAME} visible characters, with none blank at its ends")
        if expires_at is not None and expires_at <= now:
            raise ConfigError("the token would end before it begins")
        create_all(self._warehouse)
        secret = PREFIX + secrets.token_urlsafe(32)
        made = AccessToken(
            token_id=secrets.token_hex(6),
            name=name,
            role=role,
            digest=digest_of(secret),
            created_at=now,
            created_by=by,
            expires_at=expires_at,
        )
        cells: list[Scalar] = [_plain(getattr(made, column)) for column in _COLUMNS]
        names, marks = ", ".join(map(ident, _COLUMNS)), ", ".join("?" for _ in _COLUMNS)
        self._warehouse.execute(f"INSERT INTO {self._table} ({names}) VALUES ({marks})", cells)
        return made, secret

    def all(self) -> list[AccessToken]:
        """The newest first, revoked ones too."""
        if not self._warehouse.columns(self._relation):
            return []
        names = ", ".join(map(ident, _COLUMNS))
        found: list[Any] = self._warehouse.rows(f"SELECT {names} FROM {self._table} ORDER BY created_at DESC, token_id")
        return [_token(dict(zip(_COLUMNS, row, strict=True))) for row in found]

    def revoke(self, named: str, now: datetime) -> list[AccessToken]:
        """By its id, or all that have this name and hold. ConfigError where there is none. Safe to repeat."""
        found = [t for t in self.all() if named in (t.token_id, t.name)]
        if not found:
            raise ConfigError(f"there is no token {named!r}", hint="`revetl token list` shows them.")
        for token in found:
            self._warehouse.execute(
                f"""
                UPDATE {self._table}
                SET revoked_at = ?
                WHERE token_id = ? AND revoked_at IS NULL
                """,
                [naive(now), token.token_id],
            )
        return found

    def used(self, token_ids: Sequence[str], now: datetime) -> None:
        """Safe to repeat."""
        for token_id in token_ids:
            self._warehouse.execute(
                f"UPDATE {self._table} SET last_used_at = ? WHERE token_id = ?", [naive(now), token_id]
            )


def _plain(value: Any) -> Scalar:
    return naive(value) if isinstance(value, datetime) else str(value) if isinstance(value, Role) else value


def _token(cells: dict[str, Any]) -> AccessToken:
    times = {name: cells[name] and cells[name].replace(tzinfo=UTC) for name in _TIMES}
    return AccessToken(**{**cells, **times, "role": Role(cells["role"])})
