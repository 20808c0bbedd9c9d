"""An HTTP endpoint refuses: what it says about that reaches the person who looks, and nothing else does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.cli_project import COLUMNS, call, source
from tests.support.project_files import make_project, model, write_manifest, write_results

NAME = "hubspot__contacts"


class Refusing(BaseHTTPRequestHandler):
    """Refuses whoever is named Bad, and repeats what it was sent."""

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))
        bad = [row["fields"] for row in rows if str(row["fields"].get("firstname", "")).startswith("Bad")]
        body = ""
        if bad:
            body = f"\x1b[31mfirstname {bad[0]['firstname']!r} of {bad[0]['email']}\n is \u202enot in the list of names"
        self.send_response(422 if bad else 200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("REVETL_PROJECT_DIR", str(tmp_path))
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    make_project(tmp_path)
    url = f"http://127.0.0.1:{server.server_port}/push"
    (tmp_path / "profiles/connections.yml").write_text(
        f"destinations:\n  hook:\n    type: http_sink\n    outputs:\n      default: {{url: '{url}'}}\n"
    )
    meta = {"destination": "hook", "object": "people", "key": "golden_id", "match_on": "email"}
    write_manifest(tmp_path, model(NAME, meta, columns=COLUMNS))
    write_results(tmp_path, {f"model.tiny.{NAME}": "success"})
    yield tmp_path
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_what_the_endpoint_says_is_shown_without_values_or_marks(
    hook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source(hook, [("k1", "ann@acme.example", "Ann"), ("k2", "bad@acme.example", "Bad Bob")])
    code, out, _ = call(capsys, "sync", "--json")
    (report,) = json.loads(out)
    assert (code, report["counts"]) == (1, {"ok": 1, "rejected": 1})
    code, out, _ = call(capsys, "runs", "show", "latest", "--json")
    (record,) = json.loads(out)["records"]
    wanted = "the endpoint answered 422: \\u001b[31mfirstname '***' of *** is \\u202enot in the list of names"
    assert record["message"] == wanted
    code, out, _ = call(capsys, "runs", "show", "latest")
    assert ("not in the list of names" in " ".join(out.split()), "\x1b" in out, "\u202e" in out) == (True, False, False)
    assert ("Bob" in out, "bad@" in out) == (False, False)
