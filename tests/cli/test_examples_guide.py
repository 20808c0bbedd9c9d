"""docs/guides/examples.md, done as it says: all of its syncs in one project, against one sandbox, and what arrived."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import httpx
import pytest

from tests.support.file_servers import files_in_bucket, lasting_s3
from tests.support.files import read_runs
from tests.support.guides import blocks, reader
from tests.support.postgres_servers import NEWEST, lasting_server

pytestmark = pytest.mark.xdist_group("guides")
PAGE = "docs/guides/examples.md"
TAKEN = {
    "app__scores": 2,
    "audience__members": 2,
    "bucket__orders": 1,
    "engage__users": 1,
    "hooks__plans": 2,
    "hubspot__customers": 1,
    "hubspot__deals": 1,
    "hubspot__subscribers": 2,
    "hubspot__titles": 1,
    "kin__users": 1,
    "salesforce__accounts": 1,
    "salesforce__contacts": 1,
    "sheets__customers": 2,
    "slack__signups": 1,
}


def test_the_page(tmp_path: Path) -> None:
    project = tmp_path / "examples"
    project.mkdir()
    s3, postgres = lasting_s3(), lasting_server(NEWEST)
    s3.client.create_bucket(Bucket="exports-of-examples")
    postgres.ask("CREATE DATABASE examples")
    environ = {
        "S3_ENDPOINT": s3.endpoint,
        "S3_SECRET": "a word of the guide",
        "APP_PORT": str(postgres.port),
        "APP_DB": "examples",
        "APP_USER": "postgres",
        "APP_PASSWORD": "a word of the guide",
    }

    def ask(sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(project / "examples.duckdb")) as db:
            return db.execute(sql).fetchall()

    try:
        with reader(project, tmp_path / "state", ask, **environ) as somebody:
            somebody.addresses = {"SANDBOX": "{}"}
            somebody.stands_for = {"s3://exports/": lambda: "s3://exports-of-examples/"}
            for block in blocks(PAGE):
                if block.words == "sql app":
                    postgres.ask(block.text, "examples")
                else:
                    somebody.run(block)
            sandbox = somebody.environ["SANDBOX"]
            tab = httpx.get(f"{sandbox}/_sandbox/stats").json()["google_sheets"]["rows"]
            kin = httpx.get(f"{sandbox}/any_api/rest/users", headers={"x-api-key": "k"}).json()["data"]
        assert postgres.ask("SELECT email, score FROM scores ORDER BY 1", "examples") == [
            ("ann@example.com", 92),
            ("bob@example.com", 17),
        ]
    finally:
        postgres.ask("DROP DATABASE examples WITH (FORCE)")
    taken = "select sync, count(*) from revetl.outcomes where status in ('ok', 'accepted') and op <> 'link' group by 1"
    assert dict(ask(taken)) == TAKEN, "a second run sends nothing"  # type: ignore[arg-type]
    refused = ask("select sync, key, error_code from revetl.outcomes where status = 'rejected'")
    assert refused == [("engage__users", "bob at example.com", "INVALID")]
    assert ask("select count(*) from revetl.outcomes where op = 'link' and status = 'ok'") == [(1,)]
    assert ask("select hubspot_owner_id, dealstage from revetl.snapshot__hubspot__deals") == [
        ("710001", "contractsent")
    ]
    assert tab == {"Customers": 2, "Notes": 0}
    [user] = kin
    assert (user["address"], user["tags"]) == ({"city": "Riga", "zip": "LV-1010"}, ["vip", "beta"])
    [run] = read_runs(files_in_bucket(s3, "exports-of-examples", "orders/"), "orders")
    assert [json.loads(json.dumps(row))["items"] for row in run.rows] == [["pen", "ink"]]
