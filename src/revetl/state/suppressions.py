"""`suppressions`: who must never be looked up or sent, by keyed hash, so that the list itself names nobody.

The key is the environment variable REVETL_SUPPRESSION_KEY; where it is not set, a random one made once and kept in
the warehouse (table `suppression_key`). The first is better: with the second, whoever may read the warehouse may also
test a guess against the list. The choice is fixed by the first use: another key would find nobody and so quietly let
everybody through, therefore a key that does not fit what stands there is a ConfigError.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

from revetl.clock import Clock
from revetl.errors import ConfigError
from revetl.state import locks
from revetl.state.appending import append_rows, naive
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

VARIABLE = "REVETL_SUPPRESSION_KEY"
_LOCK = "enrich: suppression key"
# A phone is not here: a switchboard belongs to a whole office.
_UNIQUE = ("email", "linkedin_url")


class Suppressions:
    """The list as it stood when loaded, plus what was added since."""

    def __init__(self, warehouse: Warehouse, key: bytes, known: set[str]) -> None:
        self._warehouse = warehouse
        self._key = key
        self._known = known

    @classmethod
    def load(cls, warehouse: Warehouse, environ: Mapping[str, str] | None = None) -> Suppressions:
        """State tables must exist. ConfigError where the key is not the one that the list was made with."""
        loaded = cls(warehouse, _key(warehouse, os.environ if environ is None else environ), set())
        loaded.refresh()
        return loaded

    def refresh(self) -> None:
        """Takes in what other runs have added since."""
        listed = table(relation(self._warehouse, "suppressions"))
        self._known.update(str(row[0]) for row in self._warehouse.rows(f"SELECT identity_hash FROM {listed}"))

    def __contains__(self, identity: Mapping[str, str | None]) -> bool:
        return bool(self._known) and not self._known.isdisjoint(self._hashes(identity))

    def add(self, identity: Mapping[str, str | None], reason: str, now: datetime) -> None:
        """Suppresses everybody who shares an email, a profile, or the name with the company. Safe to repeat."""
        new = sorted(set(self._hashes(identity)) - self._known)
        append_rows(self._warehouse, "suppressions", [(h, reason, naive(now)) for h in new])
        self._known.update(new)

    def _hashes(self, identity: Mapping[str, str | None]) -> list[str]:
        return [hmac.new(self._key, token.encode(), hashlib.sha256).hexdigest() for token in _tokens(identity)]


async def choose_key(warehouse: Warehouse, clock: Clock, environ: Mapping[str, str] | None = None) -> None:
    """Fixes the key where it is not yet. Of runs that are the first at the same time one chooses, for all: two random
    keys would each know only half of the people. Safe to repeat; ConfigError as `load`."""
    if warehouse.rows(f"SELECT 1 FROM {table(relation(warehouse, 'suppression_key'))} LIMIT 1"):
        return
    locks.ensure(warehouse, [_LOCK])
    await locks.locked(warehouse, clock, [_LOCK], lambda: _key(warehouse, os.environ if environ is None else environ))


def _tokens(identity: Mapping[str, str | None]) -> Iterable[str]:
    """What names one person: each unique identifier, and the name with the company. Else all that is known."""
    plain = {name: " ".join(value.split()).casefold() for name, value in identity.items() if value and value.strip()}
    found = [f"{name}\x1f{plain[name]}" for name in _UNIQUE if name in plain]
    company = plain.get("company_domain") or plain.get("company_name")
    if "first_name" in plain and "last_name" in plain and company:
        found.append(f"person\x1f{plain['first_name']}\x1f{plain['last_name']}\x1f{company}")
    if not found and plain:
        found.append("all\x1f" + "\x1f".join(f"{name}={plain[name]}" for name in sorted(plain)))
    return found


def _key(warehouse: Warehouse, environ: Mapping[str, str]) -> bytes:
    name = table(relation(warehouse, "suppression_key"))
    given = environ.get(VARIABLE, "")
    stored = warehouse.rows(f"SELECT source, salt, fingerprint FROM {name}")
    if not stored:
        made = None if given else secrets.token_hex(32)
        key = (made or given).encode()
        warehouse.execute(
            f"INSERT INTO {name} (source, salt, fingerprint) VALUES (?, ?, ?)",
            ["warehouse" if made else "environment", made, _print(key)],
        )
        return key
    source, salt, fingerprint = (None if cell is None else str(cell) for cell in stored[0])
    key = (salt if source == "warehouse" and salt else given).encode()
    if _print(key) != fingerprint:
        said = "is not set" if not given else "differs from the key"
        raise ConfigError(
            f"{VARIABLE} {said} that the list of suppressed people was made with",
            hint="Without it nobody on the list would be recognised: set it to the key of the first run.",
        )
    return key


def _print(key: bytes) -> str:
    return hmac.new(key, b"revetl suppression key", hashlib.sha256).hexdigest()[:16]
