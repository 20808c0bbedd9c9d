"""What the starter project promises, scored against the truth behind its sources."""

from __future__ import annotations

import csv
import json

import pytest
import yaml

from revetl.project.sync_meta import SyncMeta
from tests.dbt.conftest import REPOSITORY, Built, dbt
from tests.support.guides import blocks

pytestmark = pytest.mark.xdist_group("starter")


def one(built: Built, sql: str) -> tuple[float, ...]:
    row = built.db.execute(sql).fetchone()
    assert row is not None
    return row


def test_matching_against_the_truth(built: Built) -> None:
    found, true, wrong = one(
        built,
        f"""
        WITH m AS (
            SELECT g.golden_id, t.person_id
            FROM '{built.directory}/truth1/members.parquet' t
            JOIN day1.golden_members g ON g.entity = 'contact' AND g.source_system = t.system
                AND g.source_object = t.object AND g.record_id = t.record_id
            WHERE t.person_id IS NOT NULL
        ),
        sizes AS (SELECT golden_id, person_id, count(*) n FROM m GROUP BY ALL),
        pairs(kind, n) AS (
            SELECT 'joined and true', sum(n * (n - 1) / 2) FROM sizes
            UNION ALL SELECT 'true', sum(n * (n - 1) / 2) FROM (SELECT sum(n) n FROM sizes GROUP BY person_id)
            UNION ALL SELECT 'joined', sum(n * (n - 1) / 2) FROM (SELECT sum(n) n FROM sizes GROUP BY golden_id)
        )
        SELECT any_value(n) FILTER (kind = 'joined and true'), any_value(n) FILTER (kind = 'true'),
            any_value(n) FILTER (kind = 'joined') - any_value(n) FILTER (kind = 'joined and true')
        FROM pairs
        """,
    )
    precision, recall = found / (found + wrong), found / true
    print(f"pairs: {found:.0f} joined rightly, {wrong:.0f} wrongly, of {true:.0f}: {precision=:.4f} {recall=:.4f}")
    assert precision >= 0.99
    assert recall >= 0.90


def test_every_source_record_is_in_exactly_one_golden_contact(built: Built) -> None:
    records, members, distinct = one(
        built,
        """
        SELECT
            (SELECT count(*) FROM raw_crm.contacts) + (SELECT count(*) FROM raw_billing.customers)
                + (SELECT count(*) FROM raw_product.users) + (SELECT count(*) FROM raw_support.requesters),
            (SELECT count(*) FROM analytics.golden_members WHERE entity = 'contact'),
            (SELECT count(DISTINCT record_key) FROM analytics.golden_members WHERE entity = 'contact')
        """,
    )
    assert records == members == distinct


def test_ids_outlive_a_day_and_a_full_rebuild(built: Built) -> None:
    kept, before = one(
        built,
        "SELECT count(*) FILTER (golden_id IN (SELECT golden_id FROM analytics.golden_contacts)), count(*)"
        " FROM day1.golden_contacts",
    )
    print(f"ids kept: {kept} of {before}")
    # What is lost is a person all of whose records are gone, or two that became one.
    assert kept / before >= 0.995
    moved = one(
        built,
        "SELECT count(*) FROM day1.golden_members a JOIN analytics.golden_members b USING (entity, record_key)"
        " WHERE a.golden_id <> b.golden_id",
    )
    assert moved[0] <= 0.01 * before


def test_an_id_that_is_gone_is_redirected_and_told_of(built: Built) -> None:
    gone, redirected, to_nobody = one(
        built,
        """
        WITH before AS (
            SELECT 'contact' AS entity, golden_id FROM day1.golden_contacts
            UNION ALL SELECT 'company', golden_id FROM day1.golden_companies
        ),
        now AS (
            SELECT golden_id FROM analytics.golden_contacts UNION ALL SELECT golden_id FROM analytics.golden_companies
        )
        SELECT
            count(*), count(r.golden_id),
            count(*) FILTER (r.current_golden_id IS NOT NULL AND r.current_golden_id NOT IN (SELECT golden_id FROM now))
        FROM (FROM before WHERE golden_id NOT IN (SELECT golden_id FROM now)) b
        LEFT JOIN analytics.golden_id_redirects r USING (entity, golden_id)
        """,
    )
    assert gone == redirected
    assert to_nobody == 0
    untold = one(
        built,
        """
        SELECT count(*)
        FROM day1.golden_members a JOIN analytics.golden_members b USING (entity, record_key)
        WHERE entity = 'contact' AND a.golden_id <> b.golden_id AND NOT EXISTS (
            FROM analytics.golden_id_history h
            WHERE h.build = 2 AND h.from_id = a.golden_id AND h.to_id = b.golden_id
        )
        """,
    )
    assert untold[0] == 0


def test_the_guide_of_golden_ids(built: Built) -> None:
    """Its queries run and find what happened, its rows fit the seeds, and its policy is one."""
    page = list(blocks("docs/guides/golden-ids.md"))
    found = {kind: [block.text for block in page if block.words == kind] for kind in ("sql", "yaml", "csv")}
    assert sum(map(len, found.values())) == len(page)
    built.db.execute("CREATE OR REPLACE TEMP TABLE notes AS SELECT 1 AS note_id, golden_id FROM day1.golden_contacts")
    built.db.execute("SET search_path = 'analytics'")
    history, notes = (built.db.execute(text).fetchall() for text in found["sql"])
    built.db.execute("RESET search_path")
    (moved,) = one(built, "SELECT count(*) FROM analytics.golden_id_history WHERE event IN ('merged', 'split')")
    assert len(history) == moved
    alive = built.db.execute("SELECT golden_id FROM analytics.golden_contacts").fetchall()
    gone = "SELECT golden_id FROM analytics.golden_id_redirects WHERE current_golden_id IS NULL"
    assert {(golden_id,) for _, golden_id in notes} <= {*alive, *built.db.execute(gone).fetchall()}
    seeds = {
        path.read_text("utf-8").splitlines()[0] for path in (REPOSITORY / "dbt_project/seeds").glob("steward_*.csv")
    }
    for text in found["csv"]:
        head, *rows = csv.reader(text.splitlines())
        assert ",".join(head) in seeds
        assert [len(row) for row in rows] == [len(head)]
    (policy,) = found["yaml"]
    sync = {"destination": "hubspot", "object": "contacts", "key": "golden_id", "match_on": "email"}
    assert SyncMeta.model_validate({**sync, **yaml.safe_load(policy)}).mode == "mirror"


def test_every_golden_id_is_that_of_a_golden_record(built: Built) -> None:
    for entity, model in (("contact", "golden_contacts"), ("company", "golden_companies")):
        differing = one(
            built,
            f"""
            SELECT count(*)
            FROM (SELECT DISTINCT golden_id FROM analytics.golden_id_assignments
                WHERE entity = '{entity}' AND ended_build IS NULL)
            FULL JOIN analytics.{model} g USING (golden_id)
            WHERE golden_id IS NULL OR g.golden_id IS NULL OR g.n_records IS NULL
            """,
        )
        assert differing[0] == 0, entity


def test_a_day_changes_little(built: Built) -> None:
    changed, total = one(
        built,
        "SELECT (SELECT count(*) FROM (FROM analytics.golden_contacts EXCEPT FROM day1.golden_contacts)),"
        " (SELECT count(*) FROM day1.golden_contacts)",
    )
    assert 0 < changed <= 0.05 * total


def test_shared_addresses_never_become_a_persons_email(built: Built) -> None:
    shared, doubled = one(
        built,
        """
        SELECT
            count(*) FILTER (split_part(email, '@', 1) IN (SELECT local_part FROM analytics.shared_inboxes)),
            count(email) - count(DISTINCT email)
        FROM analytics.golden_contacts
        """,
    )
    assert (shared, doubled) == (0, 0)


def test_a_surviving_value_is_the_one_that_its_provenance_names(built: Built) -> None:
    for field in ("email", "phone", "job_title", "city", "last_name"):
        differing = one(
            built,
            f"""
            SELECT count(*) FROM analytics.golden_contacts g
            FULL JOIN (SELECT * FROM analytics.golden_provenance WHERE entity = 'contact' AND field = '{field}') p
                USING (golden_id)
            JOIN analytics.golden_members m ON m.entity = 'contact' AND m.golden_id = golden_id
                AND m.record_key = p.record_key
            WHERE g.{field} IS DISTINCT FROM p.value
            """,
        )
        assert differing[0] == 0, field


def test_city_and_country_come_from_one_record_where_any_has_both(built: Built) -> None:
    mixed = one(
        built,
        """
        SELECT count(*)
        FROM analytics.golden_provenance a
        JOIN analytics.golden_provenance b USING (entity, golden_id)
        WHERE entity = 'contact' AND a.field = 'city' AND b.field = 'country' AND a.record_key <> b.record_key
            AND EXISTS (
                FROM analytics.int_contact_members m JOIN analytics.int_contact_records r USING (record_key)
                WHERE m.golden_id = a.golden_id AND r.city IS NOT NULL AND r.country IS NOT NULL
            )
        """,
    )
    assert mixed[0] == 0


def test_company_domains_are_those_of_the_truth(built: Built) -> None:
    strange = one(
        built,
        f"SELECT count(*) FROM analytics.golden_companies g ANTI JOIN '{built.directory}/truth2/companies.parquet' t"
        " ON g.domain = t.domain WHERE g.domain IS NOT NULL",
    )
    assert strange[0] == 0


NUMBERS = {"12": 12, " -3 ": -3, "12.7": None, "1_000": None, "12 000": None, "99999999999": None, "": None}
ADDRESSES = {
    "Ada+news@mill.example": "ada@mill.example",
    "ada+news+more@mill.example": "ada@mill.example",
    "+Kim@mill.example": "+kim@mill.example",  # else everybody with such an address would be `@mill.example`
    "++@mill.example": "++@mill.example",
    "+@nowhere": None,
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the macros make of each text: one start of dbt for all."""
    asked = [("to_integer", text) for text in NUMBERS] + [("normalise_email", text) for text in ADDRESSES]
    cells = ", ".join(f"""{{{{ {macro}("'{text}'") }}}} as c_{i}""" for i, (macro, text) in enumerate(asked))
    done = dbt(tmp_path_factory.mktemp("macros"), "show", "--inline", f"select {cells}", "--output", "json", "--quiet")
    assert done.returncode == 0, done.stdout[-4000:]
    (row,) = json.loads(done.stdout)["show"]
    return {text: cell for (_, text), cell in zip(asked, row.values(), strict=True)}


def test_a_whole_number_is_one_by_its_digits(said: dict[str, object]) -> None:
    assert {text: said[text] for text in NUMBERS} == NUMBERS


@pytest.mark.parametrize(("address", "normalised"), ADDRESSES.items())
def test_a_plus_tag_is_dropped_and_a_name_never(said: dict[str, object], address: str, normalised: str | None) -> None:
    assert said[address] == normalised
