"""docs/guides/hubspot.md, done as it says: its files are written, its commands run against the sandbox."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
import yaml

from revetl.destinations.hubspot import Options
from revetl.project.sync_meta import SyncMeta
from tests.support.guides import blocks, reader

pytestmark = pytest.mark.xdist_group("guides")

PAGE = "docs/guides/hubspot.md"
PIECES = {"yaml connection": "an output of connections.yml", "yaml sync": "a sync"}


def test_the_page(tmp_path: Path) -> None:
    project = tmp_path / "crm"
    project.mkdir()

    def ask(sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(project / "crm.duckdb")) as db:
            return db.execute(sql).fetchall()

    with reader(project, tmp_path / "state", ask) as somebody:
        somebody.addresses = {"HUBSPOT_URL": "{}"}
        somebody.read(PAGE, PIECES)
    written = ask(
        "select sync, count(*) from revetl.outcomes where op = 'create' and status = 'ok' group by all order by 1"
    )
    assert written == [("hubspot__companies", 1), ("hubspot__contacts", 2), ("hubspot__deals", 2)]
    linked = ask(
        "select sync, count(*) from revetl.outcomes where op = 'link' and status = 'ok' group by all order by 1"
    )
    assert linked == [("hubspot__contacts", 2), ("hubspot__deals", 2)]
    deals = ask("select key, hubspot_owner_id, pipeline, dealstage from revetl.snapshot__hubspot__deals order by 1")
    assert deals == [("d1", "710001", "default", "contractsent"), ("d2", None, "default", "qualifiedtobuy")]


def test_its_pieces_are_what_they_say() -> None:
    found = {
        block.words: yaml.safe_load(re.sub(r"\{\{.*?\}\}", "x", block.text))
        for block in blocks(PAGE)
        if block.words in PIECES
    }
    Options.model_validate(found["yaml connection"])
    assert SyncMeta.model_validate(found["yaml sync"]).deletes
