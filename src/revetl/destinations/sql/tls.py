"""What a driver says where no session came about because of TLS, in our words: told apart from a server that is away,
for waiting does not mend it."""

from __future__ import annotations

CODE = "TLS"
# What stands in the messages of libpq, of OpenSSL through Python, and of the servers; the first that fits.
_REASONS = (
    ("does not match host name", "the certificate is for another host than `host`"),
    ("Hostname mismatch", "the certificate is for another host than `host`"),
    ("IP address mismatch", "the certificate is for another host than `host`"),
    ("certificate has expired", "the certificate has expired"),
    ("certificate verify failed", "the certificate is not signed by the authority that is trusted here"),
    ("root certificate file", "the file of the trusted authority is not there"),
    ("could not read root certificate", "the file of the trusted authority is none"),
    ("does not support SSL", "the server offers none"),
    ("doesn't support SSL", "the server offers none"),
    ("no encryption", "the server lets this user in with TLS only"),
    ("insecure transport", "the server lets nobody in without it"),
    ("certificate required", "the server asks for a certificate of ours"),
    ("requires a valid client certificate", "the server asks for a certificate of ours"),
    ("private key file", "the file of our key can't be used"),
)


def failure(said: str) -> str | None:
    """The reason; None where it is not about TLS."""
    return next((reason for words, reason in _REASONS if words in said), None)
