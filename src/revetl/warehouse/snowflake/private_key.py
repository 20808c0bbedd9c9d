"""A private key as dbt's profile gives it, as the connector takes it."""

from __future__ import annotations

import base64

from revetl.errors import ConfigError


def read_private_key(text: str, passphrase: str | None) -> bytes:
    """A key as dbt's profile gives it (PEM, or DER in base64), as the connector takes it. ConfigError where it is
    neither."""
    from cryptography.hazmat.primitives import serialization as s

    password = passphrase.encode() if passphrase else None
    try:
        if "-----BEGIN" in text:
            key = s.load_pem_private_key(text.encode(), password)
        else:
            key = s.load_der_private_key(base64.b64decode(text), password)
    except (ValueError, TypeError):  # their messages may show parts of it
        raise ConfigError("profiles.yml: private_key can't be read", hint="PEM, or DER in base64.") from None
    return key.private_bytes(s.Encoding.DER, s.PrivateFormat.PKCS8, s.NoEncryption())
