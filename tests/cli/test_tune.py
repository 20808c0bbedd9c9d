"""`revetl tune` over a ledger that a waterfall really wrote."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from revetl.cli import main as shell
from tests.support.order_world import CHECK, CHECK_USD, MARKET, run_market
from tests.support.project_files import make_project, model, write, write_manifest

pytestmark = pytest.mark.xdist_group("tune")  # one ledger for all
LISTED = tuple(MARKET)
INPUTS = ["first_name", "last_name", "company_domain"]
N = 120


def provider(name: str) -> dict[str, Any]:
    """The market's terms as an operator's file says them."""
    vendor, endpoint = name.split(".")
    verifier = name == CHECK
    inputs = ["email"] if verifier else INPUTS
    fields = ["email", "phone"] if endpoint == "person" else ["email"]
    prices = ("0", CHECK_USD) if verifier else MARKET[name][:2]
    terms: dict[str, Any] = {
        "kind": "verifier" if verifier else "finder",
        "entity": "person",
        "inputs": inputs,
        "sufficient": [inputs],
        "request": {"path": "/x", "query": {n: f"{{{n}}}" for n in inputs}},
        "outputs": {f: {"at": f"/{f}"} for f in fields},
        "price": {"per_call_usd": float(prices[0]), "per_hit_usd": float(prices[1])},
    }
    if verifier:
        terms["verification"] = {"at": "/v", "map": {"valid": "valid"}}
    return {
        "vendor": vendor,
        "base_url": "https://vendor.example",
        "auth": {"type": "bearer"},
        "status": [{"http": 200, "verdict": "hit"}],
        "endpoints": {endpoint: terms},
    }


def waterfall_file(share: float) -> str:
    stages = "".join(f"  # {name}\n  - provider: {name}\n    verify: {{email: {CHECK}}}\n" for name in LISTED)
    return (
        "name: contacts\nentity: golden_contacts\ninputs: {first_name: first_name, last_name: last_name,"
        " company_domain: company_domain}\n"
        "fields:\n  email: {accept: {min_confidence: 0.5, verified: true}}\n  phone:\n"
        f"stages:\n{stages}\naudit: {{share: {share}}}   # ask everybody\n"
    )


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """share of the audit → the database that a run under it left."""
    made = {}
    for share in (0.0, 1.0):
        path = tmp_path_factory.mktemp("ledger") / "tiny.duckdb"
        warehouse, _, _ = run_market(LISTED, N, path=str(path), audit={"share": share})
        warehouse.execute(
            "CREATE TABLE main.golden_contacts AS SELECT *, CASE WHEN right(golden_id, 1) < '5' THEN 'small'"
            " ELSE 'large' END AS size FROM marts.golden_contacts"
        )
        warehouse.close()
        made[share] = path
    return made


@pytest.fixture
def project(tmp_path: Path, ledgers: dict[float, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Path]:
    def make(share: float) -> Path:
        make_project(tmp_path)
        write_manifest(tmp_path, model("golden_contacts"))
        for name in (*LISTED, CHECK):
            write(tmp_path / f"enrichment/providers/{name.split('.')[0]}.yml", yaml.safe_dump(provider(name)))
        write(tmp_path / "enrichment/waterfalls/contacts.yml", waterfall_file(share))
        database = yaml.safe_load((tmp_path / "profiles/profiles.yml").read_text())
        assert database["tiny"]["outputs"]["dev"]["path"] == "tiny.duckdb"
        (tmp_path / "tiny.duckdb").write_bytes(ledgers[share].read_bytes())
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return make


def test_with_an_audit_the_best_order_is_told_and_fits_80_columns(project, capsys, monkeypatch):
    project(1.0)
    monkeypatch.setenv("COLUMNS", "80")
    assert shell.run(["tune", "contacts", "--segment", "size"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert "120, drawn by lot, of all" in out
    for label in ("today", "best", "cheapest first", "price/hit rate", "random", "large", "small"):
        assert label in out, out
    assert "not identified" not in out
    assert "1→2→3→4" in out


def test_without_one_it_says_what_it_cant_tell_and_proposes_one(project, capsys, monkeypatch):
    project(0.0)
    monkeypatch.setenv("COLUMNS", "80")
    assert shell.run(["tune", "contacts", "--within", "0.1"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "can't be told" in out
    line = next(line for line in out.splitlines() if line.startswith("cheapest first"))
    assert "not identified" in line
    assert " to $" in line
    assert "3→2→4→1" in line
    assert "\n  audit: {share: 0." in out


def test_json_is_one_document_with_every_order(project, capsys):
    project(1.0)
    assert shell.run(["tune", "contacts", "--json", "--segment", "size", "--field", "email"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fields"] == ["email"]
    assert [p["name"] for p in told["providers"]] == list(LISTED)
    assert told["providers"][1]["per_call"] == pytest.approx(0.01)
    assert {s["segment"] for s in told["segments"]} == {"small", "large"}
    assert sum(s["records"] for s in told["segments"]) == told["all"]["records"] == N
    best = next(line for line in told["all"]["lines"] if line["label"] == "best")
    assert all(best["usd_per_record"] <= line["usd_per_record"] + 1e-12 for line in told["all"]["lines"])


def test_write_shows_the_diff_and_changes_the_file_only_when_agreed_to(project, capsys, monkeypatch):
    root = project(1.0)
    path = root / "enrichment/waterfalls/contacts.yml"
    before = path.read_text()
    assert shell.run(["tune", "contacts", "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["all"]["best"]
    assert best != list(LISTED)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert shell.run(["tune", "contacts", "--write"]) == 0
    said = capsys.readouterr()
    assert "--- a/enrichment/waterfalls/contacts.yml" in said.out
    assert "Nothing was written" in said.err
    assert path.read_text() == before
    assert shell.run(["tune", "contacts", "--write", "--yes"]) == 0
    after = path.read_text()
    assert [s["provider"] for s in yaml.safe_load(after)["stages"]] == best
    assert "# ask everybody" in after
    assert set(before.splitlines()) <= set(after.splitlines())
    capsys.readouterr()
    # The ledger says the same under the new order: it is the best, and there is nothing left to write.
    assert shell.run(["tune", "contacts", "--write", "--yes"]) == 0
    said = capsys.readouterr()
    assert "Today's order is the best" in said.out
    assert "nothing to write" in said.err


@pytest.mark.parametrize("name", ["curve.svg", "curve.html"])
def test_the_curve_is_drawn(project, name):
    root = project(1.0)
    assert shell.run(["tune", "contacts", "--plot", name]) == 0
    text = (root / name).read_text()
    assert "price/hit rate" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing"], 2, "no waterfall 'nothing'"),
        (["contacts", "--field", "mail"], 2, "no field 'mail'"),
        (["contacts", "--objective", "net"], 2, "--value"),
        (["contacts", "--plot", "x.png"], 2, ".html or .svg"),
        (["contacts", "--segment", "no_such_column"], 1, "no_such_column"),
    ],
)
def test_mistakes_are_told(project, capsys, arguments, code, said):
    project(0.0)
    assert shell.run(["tune", *arguments]) == code
    assert said in capsys.readouterr().err
