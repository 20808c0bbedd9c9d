"""docs/guides/files.md, done as it says: a folder, moto's S3 and OpenSSH's SFTP."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import duckdb

from tests.support.file_servers import files_in_bucket, lasting_s3, lasting_sftp
from tests.support.files import files_below, read_runs
from tests.support.guides import reader

PROJECT = {
    "revetl.yml": "name: customers\ndbt_project: .\nprofiles: profiles\nenrichment: .\n",
    "dbt_project.yml": "name: customers\nconfig-version: 2\nprofile: customers\nmodel-paths: [models]\n",
    "profiles/profiles.yml": (
        "customers:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: customers.duckdb, schema: analytics}\n"
    ),
}


def test_the_page(tmp_path: Path) -> None:
    project, folder, partner = (tmp_path / name for name in ("project", "exports", "partner"))
    for path, text in PROJECT.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text, "utf-8")
    folder.mkdir()
    partner.mkdir()
    s3, sftp = lasting_s3(), lasting_sftp()
    s3.client.create_bucket(Bucket="exports")
    shutil.copy(sftp.known_hosts, project / "profiles/known_hosts")
    environ = {
        "S3_ENDPOINT": s3.endpoint,
        "S3_KEY_ID": "sender",
        "S3_SECRET": "a word of the guide",
        "PARTNER_URL": sftp.url(partner),
        "PARTNER_KEY": sftp.private_key,
    }
    with duckdb.connect() as db, reader(project, tmp_path / "state", db.execute, **environ) as somebody:
        somebody.stands_for = {"/srv/exports": lambda: str(folder)}
        somebody.read("docs/guides/files.md")
        held = db.execute("select golden_id, email, name, revenue::varchar from customers order by 1").fetchall()
    assert held == [
        ("g1", "ann@example.com", "Ann", "1200.50"),
        ("g2", "bob@example.com", "Bob", "80.00"),
        ("g3", "cid@example.com", "Cid", None),
    ]
    first, second = read_runs(files_below(folder), "customers")
    assert ([r["_op"] for r in first.rows], [r["_op"] for r in second.rows]) == (["create"] * 3, ["update"])
    full = read_runs(files_in_bucket(s3, "exports", "crm/"), "customers")
    assert [len(run.rows) for run in full] == [3, 3]
    files = files_below(partner)
    [opened, _] = sorted(path for path in files if path.endswith(".csv"))
    assert opened.startswith("customers/customers-2")
    rows = list(csv.DictReader(io.StringIO(files[opened].decode(), newline="")))
    assert [row["name"] for row in rows] == ["Ann", '\'=HYPERLINK("https://example.com")', "Cid"]
