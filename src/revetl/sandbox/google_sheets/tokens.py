"""A service account with a key of this process, and the endpoint that gives tokens for what it signs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

EMAIL = "revetl@sandbox.iam.gserviceaccount.com"
SCOPES = frozenset({"https://www.googleapis.com/auth/spreadsheets", "https://www.googleapis.com/auth/drive.file"})
GOOGLES_OWN = "https://oauth2.googleapis.com/token"
LIVES_S = 3_600
_KEY_ID = "sandbox-key-1"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class InvalidGrant(Exception):
    """`{"error": code, "error_description": …}`, with status 400."""

    def __init__(self, why: str, code: str = "invalid_grant") -> None:
        super().__init__(why)
        self.code = code


def key_file(token_uri: str) -> dict[str, str]:
    """As Google Cloud gives it for a new key. Its private key is good for this sandbox alone."""
    return {
        "type": "service_account",
        "project_id": "sandbox",
        "private_key_id": _KEY_ID,
        "private_key": _pems()[0],
        "client_email": EMAIL,
        "client_id": "100000000000000000001",
        "token_uri": token_uri,
    }


def granted_scope(form: Mapping[str, str], token_uri: str, now: float) -> str:
    """The scope of the token that this request is given. InvalidGrant where it is given none."""
    grant = form.get("grant_type")
    if grant == "refresh_token":
        if not form.get("client_id") or not form.get("client_secret"):
            raise InvalidGrant("The OAuth client was not found.", "invalid_client")
        if "bad" in form.get("refresh_token", "bad"):
            raise InvalidGrant("Token has been expired or revoked.")
        return next(iter(sorted(SCOPES, reverse=True)))
    if grant != _JWT_BEARER:
        raise InvalidGrant(f"Invalid grant_type: {grant}", "unsupported_grant_type")
    claims = _claims(form.get("assertion", ""))
    if claims.get("iss") != EMAIL:
        raise InvalidGrant("Invalid grant: account not found")
    if claims.get("aud") not in (token_uri, GOOGLES_OWN):
        raise InvalidGrant("Invalid JWT: Failed audience check.")
    issued, ends = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(ends, int) or not 0 < ends - issued <= LIVES_S:
        raise InvalidGrant("Invalid JWT: Token must be a short-lived token (60 minutes)")
    if not issued - 60 <= now < ends:
        raise InvalidGrant("Invalid JWT: check your iat and exp values in the JWT claim.")
    scope = str(claims.get("scope") or "")
    if not SCOPES & set(scope.split()):
        raise InvalidGrant("Invalid OAuth scope or ID token audience provided.", "invalid_scope")
    return scope


def _claims(assertion: str) -> dict[str, Any]:
    import jwt

    try:
        header = jwt.get_unverified_header(assertion)
        if header.get("kid") != _KEY_ID:
            raise InvalidGrant("Invalid JWT Signature.")
        # Times are checked by the sandbox's own clock.
        rules: Any = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        claims: dict[str, Any] = jwt.decode(assertion, _pems()[1], algorithms=["RS256"], options=rules)
    except jwt.InvalidTokenError:
        raise InvalidGrant("Invalid JWT Signature.") from None
    return claims


@cache
def _pems() -> tuple[str, str]:
    """(private, public)"""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()
