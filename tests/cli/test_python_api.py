"""`revetl.enrich_frame(frame)` against the sandbox's providers, over real HTTP; and the guide that teaches it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import revetl
from revetl.enrich import EnrichReport, Progress
from revetl.errors import ConfigError, Denied
from revetl.sandbox.process import SandboxProcess, read_stats
from tests.support.built_project import real_project
from tests.support.project_files import enriching_project

REPOSITORY = Path(__file__).resolve().parents[2]
N = 12


def person(i: int, first: str, last: str, domain: str) -> dict[str, Any]:
    return {
        "person_id": f"P{i}",
        "first_name": first,
        "last_name": last,
        "email": f"{first}@{domain}".lower(),
        "phone": f"+1555000{i:04d}",
        "job_title": "Engineer",
        "seniority": "senior",
        "linkedin_url": f"https://www.linkedin.com/in/{first}-{i}".lower(),
        "city": "London",
        "country": "United Kingdom",
        "company_id": f"C{i}",
    }


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("truth")
    people = [person(i, f"Ada{i}", "Lovelace", f"acme{i}.example") for i in range(N)]
    people += [person(N, "Ada", "Lovelace", "analytical.example"), person(N + 1, "Grace", "Hopper", "navy.example")]
    companies = [
        {
            "company_id": p["company_id"],
            "name": f"Company {i}",
            "domain": p["email"].partition("@")[2],
            "industry": "computer software",
            "employee_count": 10 + i,
            "founded_year": 1990,
            "linkedin_url": f"https://www.linkedin.com/company/{i}",
            "city": "London",
            "country": "United Kingdom",
        }
        for i, p in enumerate(people)
    ]
    pq.write_table(pa.Table.from_pylist(people), folder / "people.parquet")
    pq.write_table(pa.Table.from_pylist(companies), folder / "companies.parquet")
    with SandboxProcess(folder, options=("--no-limits",)) as running:
        yield running.base_url


@pytest.fixture
def root(tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    enriching_project(tmp_path, sandbox)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def requests(url: str) -> int:
    return sum(vendor["requests"] for vendor in read_stats(url)["providers"].values())


def send(url: str, method: str, fault: Any) -> None:
    body = None if fault is None else json.dumps(fault).encode()
    request = urllib.request.Request(
        f"{url}/_sandbox/faults", body, {"content-type": "application/json"}, method=method
    )
    urllib.request.urlopen(request, timeout=10).close()


def leads() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "First Name": [f"Ada{i}" for i in range(N)],
            "Surname": pd.Categorical(["Lovelace"] * N),
            "Website": [f"https://www.acme{i}.example/x" for i in range(N - 1)] + [None],
            "phone": pd.array([15550009999.0, *[float("nan")] * (N - 1)], dtype="float64"),
            "amount": pd.array([1, *[None] * (N - 1)], dtype="Int64"),
            7: pd.date_range("2026-01-01", periods=N, tz="UTC"),
        }
    )
    frame.index = pd.Index([f"row {i // 2}" for i in range(N)], name="lead")  # not unique
    return frame


def test_a_frame_keeps_its_own_and_gets_what_is_known(root: Path, sandbox: str) -> None:
    frame = leads()
    untouched = frame.copy(deep=True)
    reports: list[EnrichReport] = []
    told: list[Progress] = []
    out = revetl.enrich_frame(
        frame, waterfall="contact_profile", max_spend_usd="20", progress=told.append, on_report=reports.append
    )
    pd.testing.assert_frame_equal(frame, untouched)
    pd.testing.assert_frame_equal(out[list(frame.columns)], untouched)
    found = out[out["job_title"].notna()]
    assert len(found) > N / 4
    assert set(found["job_title_source"]) == {"people_data_labs.person"}
    assert found["job_title_confidence"].between(0, 1).all()
    assert (out["job_title"].dtype, out["job_title_confidence"].dtype) == ("string", "float64")
    emails = out[out["email"].notna()]
    assert {"valid"} <= set(emails["email_verification"]) <= {"valid", "catch_all"}
    # The frame's own phone comes first, and a whole number that NaN made a float is whole.
    assert out["phone_enriched"].iloc[0] == "15550009999"
    assert out["phone_enriched_source"].iloc[0] == "input"
    # Shares of the price: all of what was spent, also on misses and on what the waterfall refused.
    costs = out[[c for c in out.columns if str(c).endswith("_cost_usd")]].sum().sum()
    [report] = reports
    assert 0 < costs <= float(report.spent_usd) + 1e-6
    assert costs == pytest.approx(float(report.spent_usd), abs=1e-9)
    assert told[-1].spent_usd > 0
    # Again, and as Arrow: nothing is asked, the same values.
    before = requests(sandbox)
    table = pa.Table.from_pandas(frame.drop(columns=[7]))
    arrow = revetl.enrich_frame(table, "contact_profile", max_spend_usd=0)
    assert requests(sandbox) == before
    assert isinstance(arrow, pa.Table)
    assert arrow.select(table.column_names).equals(table)
    assert arrow.column("email").to_pylist() == [None if pd.isna(v) else v for v in out["email"]]
    assert arrow.schema.field("email_cost_usd").type == pa.float64()


async def test_where_a_loop_runs_already(root: Path, sandbox: str) -> None:
    """As in a notebook; and without blocking the loop."""
    frame = leads().head(3)
    out = revetl.enrich_frame(frame, "contact_profile", max_spend_usd=20)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    again = await revetl.enrich_frame_async(frame, "contact_profile", max_spend_usd=20)
    task.cancel()
    pd.testing.assert_frame_equal(again, out)
    assert turns > 10
    with pytest.raises(TypeError, match="max_spend"):
        await revetl.enrich_frame_async(frame, max_spend=1)


async def test_a_cancelled_call_ends_in_good_order(root: Path, sandbox: str) -> None:
    fault = {"route": "* /providers/people_data_labs/*", "kind": "delay", "times": None, "delay_s": 0.2}
    send(sandbox, "POST", fault)
    try:
        before = requests(sandbox)
        task = asyncio.create_task(revetl.enrich_frame_async(leads(), "contact_profile", max_spend_usd=20))
        while requests(sandbox) == before:
            assert not task.done()
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        send(sandbox, "DELETE", None)
    assert_nothing_is_left_open(root)


def test_ctrl_c_ends_in_good_order(root: Path, sandbox: str) -> None:
    code = (
        "import pandas as pd, revetl\n"
        f"frame = pd.DataFrame({{'first name': [f'Ada{{i}}' for i in range({N})], 'last name': 'Lovelace',"
        f" 'domain': [f'acme{{i}}.example' for i in range({N})]}})\n"
        "revetl.enrich_frame(frame, 'contact_profile', max_spend_usd=20)"
    )
    send(sandbox, "POST", {"route": "* /providers/*", "kind": "delay", "times": None, "delay_s": 0.3})
    try:
        before = requests(sandbox)
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while requests(sandbox) == before:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "nothing was asked"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        send(sandbox, "DELETE", None)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert_nothing_is_left_open(root)


def assert_nothing_is_left_open(root: Path) -> None:
    with duckdb.connect(str(root / "tiny.duckdb")) as db:
        assert db.execute("SELECT status FROM revetl.runs").fetchall() == [("interrupted",)]
        ended = "SELECT call_id FROM revetl.enrichment_calls WHERE status NOT IN ('intent', 'in_doubt')"
        left_open = db.execute(f"SELECT count(*) FROM revetl.enrichment_calls WHERE call_id NOT IN ({ended})")
        assert left_open.fetchone() == (0,)
        assert not db.execute("SELECT 1 FROM information_schema.tables WHERE table_name LIKE 'adhoc%'").fetchall()


def test_columns_that_the_caller_names(root: Path, sandbox: str) -> None:
    frame = leads().rename(columns={"Surname": "Nachname", "Website": "Seite"})
    said: dict[str, str | None] = {"last_name": "Nachname", "company_domain": "Seite", "phone": None}
    out = revetl.enrich_frame(frame, "contact_profile", columns=said, max_spend_usd=20)
    assert out["email"].notna().any()
    with pytest.raises(ConfigError, match="no column 'Nachnam'"):
        revetl.enrich_frame(frame, "contact_profile", columns={"last_name": "Nachnam"})
    with pytest.raises(ConfigError, match="no waterfall has an input 'surname'"):
        revetl.enrich_frame(frame, "contact_profile", columns={"surname": "Nachname"})


def test_what_can_be_wrong_is_said_before_anything_is_asked(root: Path, sandbox: str) -> None:
    before = requests(sandbox)
    with pytest.raises(TypeError, match="DataFrame or a pyarrow Table"):
        revetl.enrich_frame([{"first_name": "Ada"}])
    for spend in ("much", -1, float("nan")):
        with pytest.raises(ValueError, match="US dollars"):
            revetl.enrich_frame(leads(), "contact_profile", max_spend_usd=spend)
    with pytest.raises(ConfigError, match="Did you mean 'contact_profile'"):
        revetl.enrich_frame(leads(), "contact_profil")
    waterfall = root / "enrichment/waterfalls/contact_profile.yml"
    waterfall.write_text(waterfall.read_text().replace("  per_run_usd: 500\n", ""))
    with pytest.raises(ConfigError, match="max_spend_usd"):
        revetl.enrich_frame(leads(), "contact_profile")
    assert requests(sandbox) == before


def test_a_spent_budget_warns_and_a_refused_key_raises(root: Path) -> None:
    with pytest.warns(revetl.EnrichWarning, match="budget") as caught:
        out = revetl.enrich_frame(leads(), "contact_profile", max_spend_usd=0.5)
    assert len(out) == N
    assert caught[0].filename == __file__
    connections = root / "profiles/connections.yml"
    connections.write_text(connections.read_text().replace("key-of-a-test", "bad-key"))
    with pytest.raises(Denied) as refused:
        revetl.enrich_frame(leads(), "contact_profile", max_spend_usd=20)
    assert "bad-key" not in str(refused.value)


def test_the_old_names_still_work_and_name_the_new_ones(root: Path) -> None:
    with pytest.warns(DeprecationWarning, match=r"enrich_frame\(") as caught:
        out = revetl.enrich(leads(), "contact_profile", max_spend_usd=20)
    assert caught[0].filename == __file__
    with pytest.warns(revetl.EnrichWarning, match="budget") as stopped:
        revetl.enrich(leads().assign(Surname="Hopper"), "contact_profile", max_spend_usd=0)
    assert {each.filename for each in stopped} == {__file__}
    with pytest.warns(DeprecationWarning, match=r"enrich_frame_async\("):
        again = asyncio.run(revetl.enrich_async(leads(), "contact_profile", max_spend_usd=0))
    pd.testing.assert_frame_equal(again, out)


def test_an_empty_frame(root: Path) -> None:
    out = revetl.enrich_frame(leads().head(0), "contact_profile", max_spend_usd=1)
    assert len(out) == 0
    assert {"email", "email_cost_usd"} <= set(out.columns)


def test_importing_revetl_is_light() -> None:
    code = (
        "import sys, revetl; assert revetl.__version__;"
        "heavy = {'pandas', 'pyarrow', 'duckdb', 'pydantic', 'httpx', 'aiohttp', 'sqlglot', 'yaml', 'revetl.enrich'};"
        "print(sorted(heavy & set(sys.modules)));"
        "assert callable(revetl.enrich);"
        "import revetl.enrich.execution.engine; assert callable(revetl.enrich);"
        "from revetl import enrich; assert callable(enrich);"
        "assert 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_guide_runs_as_it_stands(tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a project that dbt builds, with the vendors at the sandbox."""
    ada = ("g1", "ada@analytical.example", "Ada", "Lovelace", "analytical.example")
    real_project(tmp_path, sandbox, [ada, ("g2", "grace@navy.example", "Grace", "Hopper", "navy.example")])
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "docs/guides/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", revetl.EnrichWarning)
        for block in blocks:
            exec(compile(block, "docs/guides/python.md", "exec"), names)
    enriched = asyncio.run(names["main"]())
    assert list(enriched.index) == [101, 102, 103]
    # The job did what the guide says: bought, built into the model, sent, and taken back as far as it may be.
    job = names["report"]
    assert [s.stage for s in job.stages] == ["build", "enrich contact_profile", "build", "sync hubspot__contacts"]
    assert job.syncs[0].counts == {"ok": 2}
    assert 0 < job.spend_usd <= 5
    assert names["rolled_back"].status == "done"
