"""An order replayed over an audited history, and then run against a fresh sandbox over HTTP: the same calls, the same
values, the same bill on the vendors' side."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from revetl import project as projects
from revetl.cli import main as shell
from revetl.enrich.ordering.history import History, read_history
from revetl.enrich.ordering.replay import replay
from revetl.enrich.ordering.solve import solve
from revetl.sandbox.process import SandboxProcess, read_stats
from revetl.sandbox.sources import generate
from tests.support.project_files import make_project, model, write, write_manifest

pytestmark = pytest.mark.xdist_group("order_sandbox")  # one sandbox for all
HERE = Path(__file__).resolve().parents[2]
VERIFIER = "leadmagic.email_validation"
LISTED = ("people_data_labs.person", "prospeo.person", "leadmagic.email_finder", "apollo.person")
VENDORS = ("people_data_labs", "prospeo", "leadmagic", "apollo")
OTHER = ("apollo.person", "leadmagic.email_finder", "people_data_labs.person", "prospeo.person")
PEOPLE = 50


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    generate(folder / "sources.duckdb", folder, records=300)
    return folder


@pytest.fixture(scope="module")
def sandbox(truth: Path) -> Iterator[str]:
    with SandboxProcess(truth, options=("--no-limits",)) as running:
        yield running.base_url


def project(root: Path, truth: Path, sandbox: str, order: tuple[str, ...], share: float) -> Path:
    make_project(root)
    write_manifest(root, model("golden_contacts"))
    for vendor in VENDORS:
        terms = yaml.safe_load((HERE / f"enrichment/providers/{vendor}.yml").read_text())
        for endpoint in terms["endpoints"].values():
            endpoint["limits"] = {"concurrency": 16}  # this sandbox has none
        write(root / f"enrichment/providers/{vendor}.yml", yaml.safe_dump(terms, sort_keys=False))
    vendors = "".join(
        f"  {v}:\n    outputs:\n      default: {{base_url: '{sandbox}/providers/{v}', api_key: key-of-a-test}}\n"
        for v in VENDORS
    )
    write(root / "profiles/connections.yml", f"destinations: {{}}\nproviders:\n{vendors}")
    waterfall = {
        "name": "contacts",
        "entity": "golden_contacts",
        "inputs": {name: name for name in ("first_name", "last_name", "company_domain")},
        "fields": {"email": {"accept": {"verified": True}}, "job_title": {}},
        "stages": [{"provider": name, "verify": {"email": VERIFIER}} for name in order],
        "audit": {"share": share},
    }
    write(root / "enrichment/waterfalls/contacts.yml", yaml.safe_dump(waterfall, sort_keys=False))
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        db.execute(
            "CREATE TABLE golden_contacts AS SELECT DISTINCT ON (p.first_name, p.last_name, c.domain)"
            " CAST(p.person_id AS VARCHAR) AS golden_id, p.first_name, p.last_name, c.domain AS company_domain,"
            " CAST(NULL AS VARCHAR) AS email, CAST(NULL AS VARCHAR) AS job_title"
            f" FROM '{truth}/people.parquet' p JOIN '{truth}/companies.parquet' c USING (company_id)"
            " WHERE p.first_name IS NOT NULL AND p.last_name IS NOT NULL AND c.domain IS NOT NULL"
            f" ORDER BY ALL LIMIT {PEOPLE}"
        )
    return root


def run(root: Path, sandbox: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's report, and what the vendors billed for it."""
    with urllib.request.urlopen(urllib.request.Request(f"{sandbox}/_sandbox/reset", b"", method="POST")):
        pass
    capsys.readouterr()
    assert shell.run(["enrich", "--project-dir", str(root), "--yes", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["waterfalls"][0]
    return report, read_stats(sandbox)


def history(root: Path) -> History:
    opened = projects.load(root)
    warehouse = opened.open_warehouse()
    try:
        entity = opened.relation("golden_contacts")
        return read_history(warehouse, opened.waterfalls["contacts"], opened.providers, entity, now=datetime.now(UTC))
    finally:
        warehouse.close()


def test_what_is_replayed_is_what_a_fresh_run_does_and_is_billed(
    tmp_path: Path, truth: Path, sandbox: str, capsys: pytest.CaptureFixture[str]
) -> None:
    audited = project(tmp_path / "audited", truth, sandbox, LISTED, 1.0)
    run(audited, sandbox, capsys)
    known = history(audited)
    assert all(case.complete for case in known.asked_records)
    place = {candidate.name: i for i, candidate in enumerate(known.candidates)}
    best = tuple(known.candidates[i].name for i in solve(known.candidates, known.asked_records).cheapest().order)
    for name, order in (("other", OTHER), ("best", best)):
        told = replay(known.candidates, known.asked_records, [place[n] for n in order])
        report, stats = run(project(tmp_path / name, truth, sandbox, order, 0.0), sandbox, capsys)
        providers = report["providers"]
        assert {n: told.asked[n] for n in order} == {n: providers[n]["asked"] for n in order}
        assert {n: told.hits[n] for n in order} == {n: providers[n]["hits"] for n in order}
        assert told.checks == providers[VERIFIER]["asked"]
        assert told.usd == pytest.approx(float(report["spent_usd"]), abs=1e-6)
        assert told.filled == sum(f["filled_after"] for f in report["fields"].values())
        billed = sum(vendor["charged_usd"] for vendor in stats["providers"].values() if vendor["requests"])
        assert billed == pytest.approx(told.usd, abs=1e-6)
