"""`suppressions`: who must never be looked up or sent, by keyed hash, so that the list itself names nobody.

Two reasons. A person who objected at one provider (a 451) is looked up nowhere any more; our own records of him are
still sent. Who was erased is neither looked up nor sent: known by email, by profile, and by the keys of his records.

The key is the environment variable REVETL_SUPPRESSION_KEY; where it is not set, a random one made once and kept in
the warehouse (table `suppression_key`). The first is better: with the second, whoever may read the warehouse may also
test a guess against the list. The choice is fixed by the first use: another key would find nobody and so quietly let
everybody through, therefore a key that does not fit what stands there is a ConfigError.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

from revetl.clock import Clock, naive
from revetl.errors import ConfigError
from revetl.privacy import mentions
from revetl.state import locks
from revetl.state.appending import append_rows
from revetl.state.schema import relation
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import table

VARIABLE = "REVETL_SUPPRESSION_KEY"
OBJECTED, ERASED = "asked_not_to_be_processed", "erased"
_LOCK = "enrich: suppression key"
_FORM = re.compile(r"^(?:https?://)?(?:www\.)?(.*?)/*$")
# A phone is not here: a switchboard belongs to a whole office.
UNIQUE = ("email", "linkedin_url")
_SEP = "\x1f"


class Suppressions:
    """The list as it stood when loaded, plus what was added since."""

    def __init__(self, warehouse: Warehouse, key: bytes) -> None:
        self._warehouse = warehouse
        self._key = key
        self._known: set[str] = set()
        self._erased: set[str] = set()

    @classmethod
    def load(cls, warehouse: Warehouse, environ: Mapping[str, str] | None = None) -> Suppressions:
        """State tables must exist. ConfigError where the key is not the one that the list was made with."""
        loaded = cls(warehouse, _key(warehouse, os.environ if environ is None else environ))
        loaded.refresh()
        return loaded

    def refresh(self) -> None:
        """Takes in what other runs have added since."""
        listed = table(relation(self._warehouse, "suppressions"))
        for hashed, reason in self._warehouse.rows(f"SELECT identity_hash, reason FROM {listed}"):
            self._known.add(str(hashed))
            if reason == ERASED:
                self._erased.add(str(hashed))

    def __contains__(self, identity: Mapping[str, str | None]) -> bool:
        if not self._known:
            return False
        named = {token for name in UNIQUE for token in _named_in(identity.get(name) or "")}
        return not self._known.isdisjoint(map(self._hash, {*_tokens(identity), *named}))

    def add(self, identity: Mapping[str, str | None], reason: str, now: datetime) -> None:
        """Suppresses everybody who shares an email, a profile, or the name with the company. Safe to repeat."""
        self._append(map(self._hash, _tokens(identity)), reason, now)

    def erase(self, identities: Iterable[Mapping[str, str | None]], keys: Iterable[str], now: datetime) -> None:
        """Suppresses these people and the records of these keys, in every table and for good. Safe to repeat."""
        tokens = {token for identity in identities for token in _tokens(identity)} | set(map(_record, keys))
        self._append(map(self._hash, tokens), ERASED, now)

    def is_erased(self, key: str, said: Iterable[str] = ()) -> bool:
        """Whether the record of this key is, or one of the texts that it holds names an email or profile of somebody
        who is, in whatever spelling."""
        if not self._erased:
            return False
        tokens = [_record(key)]
        for value in said:
            tokens += [token for name in UNIQUE for token in _tokens({name: value})]
            tokens += _named_in(value)
        return not self._erased.isdisjoint(map(self._hash, tokens))

    def alias(self, text: str) -> str:
        """What stands in place of an erased record's key: the same for the same key, and it leads back to nobody. What
        is an alias already stays as it is."""
        if re.fullmatch(rf"{ERASED}:[0-9a-f]{{16}}", text):
            return text
        return f"{ERASED}:{self._hash(f'alias{_SEP}{text}')[:16]}"

    def _append(self, hashes: Iterable[str], reason: str, now: datetime) -> None:
        listed = self._erased if reason == ERASED else self._known
        new = sorted(set(hashes) - listed)
        append_rows(self._warehouse, "suppressions", [(h, reason, naive(now)) for h in new])
        self._known.update(new)
        listed.update(new)

    def _hash(self, token: str) -> str:
        return hmac.new(self._key, token.encode(), hashlib.sha256).hexdigest()


def is_alias(column: str) -> str:
    """Condition: this key was that of an erased record."""
    return f"starts_with({column}, '{ERASED}:')"


def anybody_erased(warehouse: Warehouse) -> bool:
    """Whether the list names anybody who must not be sent."""
    listed = relation(warehouse, "suppressions")
    return bool(warehouse.rows(f"SELECT 1 FROM {table(listed)} WHERE reason = ? LIMIT 1", [ERASED]))


def anybody_suppressed(warehouse: Warehouse) -> bool:
    """Whether the list names anybody at all."""
    return bool(warehouse.rows(f"SELECT 1 FROM {table(relation(warehouse, 'suppressions'))} LIMIT 1"))


async def choose_key(warehouse: Warehouse, clock: Clock, environ: Mapping[str, str] | None = None) -> None:
    """Fixes the key where it is not yet. Of runs that are the first at the same time one chooses, for all: two random
    keys would each know only half of the people. Safe to repeat; ConfigError as `load`."""
    if warehouse.rows(f"SELECT 1 FROM {table(relation(warehouse, 'suppression_key'))} LIMIT 1"):
        return
    locks.ensure(warehouse, [_LOCK])
    await locks.locked(warehouse, clock, [_LOCK], lambda: _key(warehouse, os.environ if environ is None else environ))


def plain(name: str, value: str) -> str:
    """A value as it is compared: without letter case and outer blanks, a profile without scheme, `www.` and slashes."""
    text = " ".join(value.split())
    # `casefold` would make another host of a domain with ß.
    folded = text.lower() if name == "email" else text.casefold()
    return _FORM.sub(r"\1", folded) if name == "linkedin_url" else folded


def _record(key: str) -> str:
    return f"record{_SEP}{key}"


def _named_in(text: str) -> list[str]:
    """Tokens of every address and profile that a text may name."""
    found = [f"email{_SEP}{address}" for address in mentions.emails_in(text)]
    return found + [f"linkedin_url{_SEP}{profile}" for profile in mentions.profiles_in(text)]


def _tokens(identity: Mapping[str, str | None]) -> Iterable[str]:
    """What names one person: each unique identifier, and the name with the company. Else all that is known."""
    known = {name: plain(name, value) for name, value in identity.items() if value and value.strip()}
    found = [f"{name}{_SEP}{known[name]}" for name in UNIQUE if name in known]
    if address := known.get("email"):
        # As it would be taken out of a text, without what else its tag could mean.
        found += [f"email{_SEP}{form}" for form in sorted(mentions.same_address(address) - {address})]
    if profile := known.get("linkedin_url"):
        found += [f"linkedin_url{_SEP}{form}" for form in sorted(mentions.profiles_in(profile) - {profile})]
    company = known.get("company_domain") or known.get("company_name")
    if "first_name" in known and "last_name" in known and company:
        found.append(_SEP.join(("person", known["first_name"], known["last_name"], company)))
    if not found and known:
        found.append(_SEP.join(("all", *(f"{name}={known[name]}" for name in sorted(known)))))
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
