"""The sandbox's vendors under clients that others wrote and that know nothing of us: the vendors' own for People Data
Labs and ZeroBounce, those of their users for Hunter and Companies House."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from companies_house import AuthError, CompaniesHouse, NotFound
from peopledatalabs import PDLPY
from pyhunter import PyHunter
from pyhunter.exceptions import HunterApiError
from zerobouncesdk import ZBValidateStatus, ZeroBounce
from zerobouncesdk.zb_exceptions import ZBApiException
from zerobouncesdk.zb_validate_batch_element import ZBValidateBatchElement

from revetl.sandbox.process import SandboxProcess
from tests.support.sandbox_world import KEY, company, person, write_truth

EVERYTHING_KNOWN = """
erased_share: 0
catch_all_share: 0
vendors:
  people_data_labs: {coverage: 1, segments: [], people: {email: {rate: 1, wrong: 0}, job_title: {rate: 1, wrong: 0}},
                     companies: {industry: {rate: 1}}}
  hunter: {coverage: 1, segments: [], people: {email: {rate: 1, wrong: 0}}}
"""


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("clients")
    population = folder / "population.yml"
    population.write_text(EVERYTHING_KNOWN, "utf-8")
    with SandboxProcess(write_truth(folder / "truth"), options=("--population", str(population))) as sandbox:
        yield f"{sandbox.base_url}/providers"


def test_people_data_labs_own_client(base_url: str) -> None:
    client = PDLPY(api_key=KEY, base_path=f"{base_url}/people_data_labs/v5")
    one = client.person.enrichment(email=person(7).email)
    assert (one.status_code, one.json()["data"]["job_title"]) == (200, "title 7")
    requests = [{"params": {"email": person(1).email}, "metadata": {"ref": "1"}}, {"params": {"email": "x@y.example"}}]
    bulk = client.person.bulk(requests=requests)
    assert [r["status"] for r in bulk.json()] == [200, 404]
    website = company(3).domain
    assert client.company.enrichment(website=website).json()["industry"] == "internet"
    companies = client.company.bulk(requests=[{"params": {"website": website}}]).json()
    assert companies[0]["data"]["industry"] == "internet"
    refused = PDLPY(api_key="bad", base_path=f"{base_url}/people_data_labs/v5").person.enrichment(email="a@b.example")
    assert refused.status_code == 401


def test_zerobounce_own_client(base_url: str) -> None:
    client = ZeroBounce(KEY, base_url=f"{base_url}/zerobounce/v2")
    verdict = client.validate(str(person(7).email))
    assert (verdict.status, verdict.domain) == (ZBValidateStatus.valid, "firm7.example")
    assert verdict.processed_at is not None
    batch = client.validate_batch([ZBValidateBatchElement(str(person(i).email)) for i in (1, 2)])
    assert [v.status for v in batch.email_batch] == [ZBValidateStatus.valid] * 2
    assert int(client.get_credits().credits) == 10_000_000 - 3
    with pytest.raises(ZBApiException):
        ZeroBounce("bad", base_url=f"{base_url}/zerobounce/v2").validate("a@b.example")


def test_hunter_client(base_url: str) -> None:
    client = PyHunter(KEY, max_retries=0)
    client.base_endpoint = f"{base_url}/hunter/v2/{{}}"
    email, score = client.email_finder(domain="firm7.example", first_name="Ann7", last_name="Lee")
    assert email == person(7).email
    assert 0 < score <= 100
    assert client.email_verifier(str(person(7).email))["status"] == "valid"
    client.api_key = "bad"
    with pytest.raises(HunterApiError):
        client.email_verifier("a@b.example")


class ToSandbox(httpx.HTTPTransport):
    """Sends what is meant for the register to the sandbox."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base = httpx.URL(f"{base_url}/companies_house")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = self._base.raw_path + request.url.raw_path
        request.url = request.url.copy_with(scheme="http", host=self._base.host, port=self._base.port, raw_path=path)
        return super().handle_request(request)


def test_companies_house_client(base_url: str) -> None:
    with CompaniesHouse(KEY, transport=ToSandbox(base_url)) as client:
        found = client.search("firm 3")
        assert found["items"][0]["title"] == "FIRM 3 LTD"
        profile = client.company(found["items"][0]["company_number"])
        assert profile["registered_office_address"]["locality"] in ("London", "Lyon")
        assert (client.rate_limit.limit, client.rate_limit.remaining) == (600, 598)
        with pytest.raises(NotFound):
            client.company("99999999")
    with CompaniesHouse("bad", transport=ToSandbox(base_url)) as client, pytest.raises(AuthError):
        client.company("1")
