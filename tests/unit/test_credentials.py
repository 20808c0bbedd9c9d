"""Tokens and keys as people paste them: what no request can carry is said before one is sent, at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from revetl.destinations.registry import options_model
from revetl.documents import parse
from revetl.errors import ConfigError
from revetl.project.connections import read_connections

TEXT = """\
destinations:
  hub:
    type: hubspot
    outputs:
      default:
        token: "{{ env_var('TOKEN') }}"
  sink:
    type: http_sink
    outputs:
      default:
        url: https://sink.example/push
        headers:
          x-api-key: "{{ env_var('TOKEN') }}"
providers:
  hunter:
    outputs:
      default:
        api_key: "{{ env_var('TOKEN') }}"
"""
BAD = ["s3cret\n", "s3cret\r\nx-other: 1", "s3cret\ttoken", " s3cret", "s3cret-t\u00f6ken", "s3cret\x7f"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "connections.yml"
    path.write_text(TEXT, "utf-8")
    return path


@pytest.mark.parametrize("token", BAD)
@pytest.mark.parametrize(("name", "line"), [("hub", 6), ("sink", 12)])
def test_a_destinations_token(name: str, line: int, token: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", token)
    connections = read_connections(file, "default")
    with pytest.raises(ConfigError) as e:
        parse(connections.output("destinations", name), options_model(connections.destination_type(name)))
    assert (e.value.problems[0].path, e.value.problems[0].line) == (file, line)
    assert "s3cret" not in e.value.problems[0].message


@pytest.mark.parametrize("token", BAD)
def test_a_providers_key(token: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", token)
    with pytest.raises(ConfigError) as e:
        read_connections(file, "default").provider_account("hunter")
    assert (e.value.problems[0].path, e.value.problems[0].line) == (file, 18)
    assert "s3cret" not in e.value.problems[0].message


def test_a_name_that_is_no_headers(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "fine")
    file.write_text(TEXT.replace("x-api-key", '"x api\\nkey"'), "utf-8")
    connections = read_connections(file, "default")
    with pytest.raises(ConfigError, match="name of a header"):
        parse(connections.output("destinations", "sink"), options_model("http_sink"))
