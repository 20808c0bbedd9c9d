"""The shipped provider files against the sandbox's vendors over real HTTP: answers, refusals, and one bill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from revetl.clock import SystemClock
from revetl.errors import CallError, Denied
from revetl.providers.base import Answer, Lookup
from revetl.providers.grammar import EndpointLimits, ProviderSpec, load_providers
from revetl.providers.registry import create_provider
from revetl.sandbox.data_vendors.population import Population
from revetl.sandbox.server import RunningSandbox, running_sandbox
from revetl.sandbox.settings import SandboxSettings

SPECS = load_providers(Path(__file__).parents[2] / "enrichment" / "providers")
PEOPLE = 200
KEY = "key-of-the-contract"


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    with duckdb.connect() as db:
        db.execute(
            """
            COPY (SELECT 'p' || i AS person_id, 'Ada' || i AS first_name, 'Lovelace' AS last_name,
                         'ada' || i || '@c' || i || '.example' AS email,
                         '+442079460' || lpad(i::VARCHAR, 3, '0') AS phone,
                         'Head of Data' AS job_title, 'director' AS seniority,
                         'https://www.linkedin.com/in/ada-' || i AS linkedin_url, 'London' AS city,
                         'United Kingdom' AS country, 'c' || i AS company_id
                  FROM range(?) t(i)) TO '{}/people.parquet' (FORMAT parquet)
            """.replace("{}", str(folder)).replace("?", str(PEOPLE))
        )
        db.execute(
            """
            COPY (SELECT 'c' || i AS company_id, 'Company ' || i AS name, 'c' || i || '.example' AS domain,
                         'computer software' AS industry, (10 + i)::INTEGER AS employee_count, 1997 AS founded_year,
                         'https://www.linkedin.com/company/c' || i AS linkedin_url, 'London' AS city,
                         'United Kingdom' AS country
                  FROM range(?) t(i)) TO '{}/companies.parquet' (FORMAT parquet)
            """.replace("{}", str(folder)).replace("?", str(PEOPLE))
        )
    return folder


@pytest.fixture
async def sandbox(truth: Path) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(settings=SandboxSettings(truth=truth, limited=False, job_s=0.1)) as running:
        yield running


def inputs(name: str, i: int) -> dict[str, str]:
    if SPECS[name].entity == "company":
        return {"domain": f"c{i}.example", "name": f"Company {i}"}
    everything = {
        "email": f"ada{i}@c{i}.example",
        "first_name": f"Ada{i}",
        "last_name": "Lovelace",
        "company_domain": f"c{i}.example",
    }
    return SPECS[name].relevant(everything)


async def ask_all(sandbox: RunningSandbox, name: str, key: str = KEY, count: int = PEOPLE) -> list[Answer]:
    """In batches where the vendor takes them."""
    options = {"base_url": f"{sandbox.base_url}/providers/{SPECS[name].vendor}", "api_key": key}
    async with create_provider(in_a_hurry(SPECS[name]), options, SystemClock()) as provider:
        lookups = [Lookup(inputs(name, i), f"ref-{i}") for i in range(count)]
        pieces = [lookups[i : i + provider.batch_size] for i in range(0, count, provider.batch_size)]
        replies = [r for some in await asyncio.gather(*map(provider.ask_many, pieces)) for r in some]
    for reply in replies:
        if isinstance(reply, CallError):
            raise reply
    return [reply for reply in replies if isinstance(reply, Answer)]


def in_a_hurry(spec: ProviderSpec) -> ProviderSpec:
    """Here time is real: nobody counts calls a second, and jobs are asked for at once."""
    changes: dict[str, Any] = {"limits": EndpointLimits()}
    if spec.job is not None:
        poll = spec.job.poll.model_copy(update={"every_s": 0.05, "longest_s": 0.05})
        changes["job"] = spec.job.model_copy(update={"poll": poll})
    return spec.model_copy(update=changes)


@pytest.mark.parametrize("name", sorted(SPECS))
async def test_both_sides_count_the_same_money(sandbox: RunningSandbox, name: str) -> None:
    answers = await ask_all(sandbox, name)
    assert {a.status for a in answers} <= {"hit", "miss", "suppressed"}
    found = {value.field for answer in answers for value in answer.values}
    assert found == set(SPECS[name].fields)
    charged_usd = sum((a.charged_usd for a in answers), Decimal(0))
    assert charged_usd == sandbox.sandbox.bills[SPECS[name].vendor].charged_usd
    assert (charged_usd > 0) is (SPECS[name].greatest_usd > 0)


@pytest.mark.parametrize("name", sorted(n for n, spec in SPECS.items() if spec.kind == "verifier"))
async def test_a_verifier_gives_the_address_back_with_its_word(sandbox: RunningSandbox, name: str) -> None:
    for i, answer in enumerate(await ask_all(sandbox, name, count=10)):
        (value,) = answer.values
        assert (value.field, value.value) == ("email", f"ada{i}@c{i}.example")
        assert value.verification in ("valid", "catch_all")


async def test_who_asked_to_be_forgotten_is_said_so(truth: Path) -> None:
    settings = SandboxSettings(truth=truth, population=Population(erased_share=1.0))
    async with running_sandbox(settings=settings) as sandbox:
        answers = await ask_all(sandbox, "hunter.email_finder", count=3)
    assert [a.status for a in answers] == ["suppressed"] * 3


@pytest.mark.parametrize("name", sorted(n for n in SPECS if n.startswith("people_data_labs.")))
async def test_text_comes_as_people_write_it(sandbox: RunningSandbox, name: str) -> None:
    said = {(v.field, v.value) for a in await ask_all(sandbox, name) for v in a.values}
    assert ("country", "United Kingdom") in said
    assert ("city", "London") in said


@pytest.mark.parametrize("name", sorted(name for name, spec in SPECS.items() if spec.auth.needs))
async def test_a_bad_key_and_an_empty_account_stop_the_connector(sandbox: RunningSandbox, name: str) -> None:
    with pytest.raises(Denied) as refused:
        await ask_all(sandbox, name, key="bad-key", count=1)
    assert "bad-key" not in str(refused.value)
    if not SPECS[name].greatest_usd:
        return
    with pytest.raises(Denied, match="out of credits"):
        await ask_all(sandbox, name, key="broke-key", count=1)
