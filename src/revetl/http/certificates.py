"""Whose certificates are trusted: those of certifi, or what SSL_CERT_FILE or SSL_CERT_DIR names in their place."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import certifi

from revetl.errors import ConfigError, Problem
from revetl.http.auth import ClientCertificate

_HINT = "It takes the place of the authorities that come with revetl: unset it, or name what your proxy's are in."


class _ObservedTls(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        if isinstance(self.context, TlsContext):
            self.context.agreed = self.version()


class TlsContext(ssl.SSLContext):
    """`agreed`: the version of TLS that both sides settled on when the last connection was opened, as `TLSv1.3`; None
    before the first one."""

    sslobject_class = _ObservedTls
    agreed: str | None = None


def trusted(environ: Mapping[str, str] | None = None, client: ClientCertificate | None = None) -> TlsContext:
    """Checks certificates and host names; speaks TLS 1.2 at least, 1.3 where it is offered. `client`: what this side is
    known by. It is built here and not by `ssl.create_default_context`, which writes the keys of every connection to the
    file that SSLKEYLOGFILE names. ConfigError where a variable or `client` names nothing that certificates could be
    read from."""
    env = os.environ if environ is None else environ
    context = TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client is not None:
        _show(context, client)
    file, folder = env.get("SSL_CERT_FILE"), env.get("SSL_CERT_DIR")
    if file:
        if not Path(file).is_file():
            raise ConfigError(Problem("SSL_CERT_FILE names no file", Path(file), hint=_HINT))
        try:
            context.load_verify_locations(cafile=file)
        except OSError as e:  # an SSLError is one too
            why = "holds no certificate in PEM" if isinstance(e, ssl.SSLError) else f"can't be read: {e.strerror}"
            raise ConfigError(Problem(f"what SSL_CERT_FILE names {why}", Path(file), hint=_HINT)) from None
    elif folder:
        if not Path(folder).is_dir():
            raise ConfigError(Problem("SSL_CERT_DIR names no directory", Path(folder), hint=_HINT))
        context.load_verify_locations(capath=folder)
    else:
        context.load_verify_locations(cafile=certifi.where())
    return context


def _show(context: ssl.SSLContext, client: ClientCertificate) -> None:
    for file in filter(None, (client.certificate, client.key)):
        if not file.is_file():
            raise ConfigError(Problem("client_certificate names no file", file))
    try:
        # A function, or OpenSSL would ask the terminal for a password that was not given.
        context.load_cert_chain(client.certificate, client.key, password=lambda: client.password or "")
    except (ssl.SSLError, OSError, ValueError) as e:
        why = e.reason if isinstance(e, ssl.SSLError) and e.reason else type(e).__name__
        message = f"client_certificate: the certificate and its key can't be used: {why}"
        raise ConfigError(Problem(message, client.certificate)) from None
