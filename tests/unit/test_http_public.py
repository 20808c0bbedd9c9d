"""What `revetl.http` says is public is there, and asking for one name does not load the others."""

from __future__ import annotations

import subprocess
import sys

import pytest

import revetl.http


def test_every_public_name_is_there_and_under_its_own_name() -> None:
    assert list(revetl.http.__all__) == sorted(revetl.http._MODULES)
    for name in revetl.http.__all__:
        assert getattr(revetl.http, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Sesion"):
        _ = revetl.http.Sesion


def test_a_declared_rate_does_not_load_the_network() -> None:
    asked = "import sys; from revetl.http import Rate; print({'httpx', 'aiohttp'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout == "set()\n"


def test_a_sessions_options_do_not_show_their_secrets() -> None:
    options = revetl.http.SessionOptions(headers={"authorization": "Bearer s3cr3t-key"}, secrets=["s3cr3t-key"])
    assert "s3cr3t" not in repr(options)
    assert "policy=" in repr(options)
