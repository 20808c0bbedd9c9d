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
    """Refuses whoever is named Bad, and repeats what it was sent; is not there for whoever is named Away."""

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))
        bad = [row["fields"] for row in rows if str(row["fields"].get("firstname", "")).startswith("Bad")]
        if any(row["fields"].get("firstname") == "Away" for row in rows):
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"no hook of this name")
            return
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
        "destinations:\n  hook:\n    type: http_sink\n    outputs:\n"
        f"      default: {{url: '{url}', batch_rows: 2, concurrency: 1}}\n"
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


def test_what_was_planned_and_what_was_done_stand_apart(hook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Batches of two: the first goes through, of the second one record is refused, the third meets no hook."""
    names = ["Ann", "Bob", "Cid", "Bad Dan", "Away", "Eve", "Fay"]
    source(hook, [(f"k{i}", f"p{i}@acme.example", name) for i, name in enumerate(names)])
    code, out, _ = call(capsys, "sync", "--json")
    (report,) = json.loads(out)
    assert (code, report["status"], report["plan"]["create"]) == (4, "failed", 7)
    wanted = {"created": 3, "rejected": 1, "not_sent": 3}
    assert {word: n for word, n in report["done"].items() if n} == wanted
    assert sum(report["done"].values()) == report["plan"]["changes"]
    assert "answered 404: POST /push: no hook of this name" in report["error"]
    assert report["waiting"] == {"rejected": 1}
    source(hook, [(f"k{i}", f"p{i}@acme.example", name) for i, name in enumerate(names)])
    code, out, _ = call(capsys, "sync")
    heading, _, numbers = [line.split() for line in out.splitlines() if line.strip()][:3]
    shown = dict(zip(" ".join(heading).replace("not sent", "not_sent").split(), numbers, strict=True))
    assert (code, shown["planned"], shown["created"], shown["not_sent"]) == (4, "4", "0", "4")
    assert "4 of 4 record(s) not sent" in out
    assert f"{NAME}: 1 record(s) wait (1 rejected)" in out
    assert all(len(line) <= 80 for line in out.splitlines()[:4])


def test_a_run_tells_what_it_had_planned(hook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source(hook, [(f"k{i}", f"p{i}@acme.example", name) for i, name in enumerate(["Ann", "Bob", "Away"])])
    call(capsys, "sync")
    code, out, _ = call(capsys, "runs", "show", "latest")
    assert (code, "planned 3; done: 2 create ok; 1 not sent" in out) == (0, True)
    (details,) = [json.loads(call(capsys, "runs", "show", "latest", "--json")[1])]
    assert (details["planned"], details["done"]) == (3, [["create", "ok", 2]])


def test_samples_say_how_many_more_there_are(hook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source(hook, [(f"k{i}", f"p{i}@acme.example", "Ann") for i in range(5)])
    _, out, _ = call(capsys, "plan")
    assert (out.count("create k"), "         … 2 more" in out) == (3, True)
    _, out, _ = call(capsys, "plan", "--samples", "5")
    assert (out.count("create k"), "more" in out) == (5, False)
