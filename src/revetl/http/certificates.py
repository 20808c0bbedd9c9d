"""Whose certificates are trusted: those of certifi, or what SSL_CERT_FILE or SSL_CERT_DIR names in their place."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import certifi

from revetl.errors import ConfigError, Problem

_HINT = "It takes the place of the authorities that come with revetl: unset it, or name what your proxy's are in."


def trusted(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """Checks certificates and host names. It is built here and not by `ssl.create_default_context`, which writes the
    keys of every connection to the file that SSLKEYLOGFILE names. ConfigError where a variable names nothing that
    certificates could be read from."""
    env = os.environ if environ is None else environ
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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
