"""A service account of Google Cloud: its key signs a claim, which is exchanged for an access token (RFC 7523)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from revetl.errors import ConfigError
from revetl.http.oauth import JWT_BEARER, JwtAssertion, TokenAuth, TokenRequest

_MEMBERS = ("client_email", "token_uri", "private_key", "private_key_id")


def service_account_token(what: str, key_file: str, scope: str) -> TokenAuth:
    """From the whole JSON file of a key. `what` names the option, for the message. ConfigError where it is no such
    file; the message holds nothing of it."""
    key = _members(what, key_file)
    # Google reads the scope in the assertion, and not beside it (docs).
    assertion = JwtAssertion(
        key["client_email"],
        key["client_email"],
        key["token_uri"],
        key["private_key"],
        key_id=key["private_key_id"],
        scope=scope,
    )
    form = {"grant_type": JWT_BEARER}
    return TokenAuth(TokenRequest(key["token_uri"], lambda now: {**form, "assertion": assertion.sign(now)}))


def _members(what: str, text: str) -> Mapping[str, str]:
    try:
        key = json.loads(text)
        return {name: str(key[name]) for name in _MEMBERS}
    except (ValueError, KeyError, TypeError):
        message = f"{what} is no JSON key of a service account"
        raise ConfigError(message, hint="It is the whole file that Google Cloud gives for a new key.") from None
