"""What stands in a file: every type in every format, formulas that are none, files of a bounded size, paths."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from revetl import documents
from revetl.clock import SystemClock
from revetl.destinations.capabilities import PublishedRun
from revetl.destinations.files.connector import store_of
from revetl.destinations.files.encoding import form
from revetl.destinations.files.layout import PLACEHOLDERS, file_path
from revetl.destinations.files.options import Options, located
from revetl.destinations.files.spool import RunSpool
from revetl.errors import ConfigError
from revetl.model import JsonText
from tests.support.files import rows_of

MOMENT = datetime(2024, 5, 1, 12, 30, 1, 5, tzinfo=UTC)
ROWS: dict[str, Any] = {
    "_op": pa.array(["create", "update"]),
    "id": pa.array(["1", "2"]),
    "text": pa.array(['a,"b"\r\nc', ""]),
    "price": pa.array([Decimal("1200.50"), None], pa.decimal128(38, 2)),
    "count": pa.array([2**62, None], pa.int64()),
    "share": pa.array([0.1, None]),
    "active": pa.array([True, None]),
    "born": pa.array([date(1, 1, 1), None]),
    "seen_at": pa.array([MOMENT, None], pa.timestamp("us", "UTC")),
    "photo": pa.array([b"\0\xff", None]),
    "tags": pa.array(['["a", {"b": 1.50}]', None]),
}
RUN = PublishedRun("20240501T123001.000Z-abcdef", "lake__people", MOMENT, "id", frozenset({"tags"}), "changes")


def content(columns: dict[str, Any], **options: Any) -> bytes:
    [made] = spooled([pa.RecordBatch.from_pydict(columns)], **options)
    return made


def spooled(batches: list[pa.RecordBatch], **options: Any) -> list[bytes]:
    with RunSpool(Options.model_validate({"url": "file:///srv", **options}), RUN) as spool:
        for batch in batches:
            spool.take(batch)
        spool.close()
        return [file.content.read() for file in spool.files]


def test_parquet_keeps_every_type() -> None:
    table = pq.read_table(io.BytesIO(content(ROWS, format="parquet")))
    assert table == pa.table(ROWS)


def test_ndjson_has_exact_numbers_as_text_and_nested_values_as_json() -> None:
    first, second = map(json.loads, content(ROWS, format="ndjson").splitlines())
    assert first == {
        "_op": "create",
        "id": "1",
        "text": 'a,"b"\r\nc',
        "price": "1200.50",
        "count": 2**62,
        "share": 0.1,
        "active": True,
        "born": "0001-01-01",
        "seen_at": "2024-05-01T12:30:01.000005+00:00",
        "photo": "AP8=",
        "tags": ["a", {"b": 1.5}],
    }
    assert second == {**dict.fromkeys(ROWS), "_op": "update", "id": "2", "text": ""}


def test_a_nested_value_with_line_breaks_or_of_another_kind_is_still_one_line() -> None:
    cells = pa.array(['{"a":\n 1}', "no JSON"])
    lines = content({"_op": pa.array(["create"] * 2), "tags": cells}, format="ndjson").splitlines()
    assert [json.loads(line)["tags"] for line in lines] == [{"a": 1}, "no JSON"]


def test_csv_tells_null_from_the_empty_text() -> None:
    text = content(ROWS, format="csv").decode()
    head, rest = text.split("\r\n", 1)
    assert head == ",".join(ROWS)
    assert rest.endswith('\r\nupdate,2,"",,,,,,,,\r\n')
    [first, _] = csv.DictReader(io.StringIO(text, newline=""))
    assert (first["price"], first["active"], first["photo"]) == ("1200.50", "true", "AP8=")
    assert first["text"] == 'a,"b"\nc', "a spreadsheet would part cells at the carriage return"
    kept = content(ROWS, format="csv", spreadsheet_safe=False).decode()
    assert next(csv.DictReader(io.StringIO(kept, newline="")))["text"] == 'a,"b"\r\nc'


FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "＝1+1", " =HYPERLINK(1)"]


def test_csv_runs_no_formula_unless_it_is_told_to_leave_text() -> None:
    columns = {"_op": pa.array(["create"] * len(FORMULAS)), "=name": pa.array(FORMULAS)}
    for row in csv.reader(io.StringIO(content(columns, format="csv").decode(), newline="")):
        assert not row[1].lstrip().startswith(tuple("=+-@＝")), row
    left = rows_of(content(columns, format="csv", spreadsheet_safe=False), "csv")
    assert [row["=name"] for row in left] == FORMULAS


def test_numbers_with_a_sign_are_no_formulas() -> None:
    columns = {"_op": pa.array(["create"]), "debt": pa.array([-5]), "phone": pa.array(["+371 2000 0000"])}
    assert rows_of(content(columns, format="csv"), "csv") == [
        {"_op": "create", "debt": "-5", "phone": "+371 2000 0000"}
    ]


@pytest.mark.parametrize("format_", ["parquet", "csv", "ndjson"])
def test_the_same_rows_are_the_same_bytes_however_they_come(format_: str) -> None:
    batch = pa.RecordBatch.from_pydict(ROWS)
    once = spooled([batch, batch], format=format_)
    assert spooled([batch, batch], format=format_) == once
    one_by_one = [batch.slice(n, 1) for _ in range(2) for n in range(2)]
    assert spooled(one_by_one, format=format_) == once


@pytest.mark.parametrize("format_", ["parquet", "csv", "ndjson"])
def test_files_are_cut_by_rows_and_by_bytes(format_: str) -> None:
    batch = pa.RecordBatch.from_pydict({"_op": ["create"] * 5, "id": [str(n) for n in range(5)]})
    files = spooled([batch, batch], format=format_, rows_per_file=4)
    assert [len(rows_of(file, format_)) for file in files] == [4, 4, 2]
    assert [row["id"] for file in files for row in rows_of(file, format_)] == [str(n) for n in range(5)] * 2
    if format_ != "parquet":  # whose row groups are compressed
        wide = pa.RecordBatch.from_pydict({"_op": ["create"] * 4, "text": ["x" * 300_000] * 4})
        assert len(spooled([wide] * 3, format=format_, megabytes_per_file=1)) == 3


@pytest.mark.parametrize("format_", ["parquet", "csv", "ndjson"])
def test_memory_does_not_grow_with_the_rows(format_: str) -> None:
    batch = pa.RecordBatch.from_pydict({"_op": ["create"] * 500, "text": ["x" * 200] * 500})

    def peak(batches: int) -> int:
        tracemalloc.start()
        with RunSpool(Options.model_validate({"url": "file:///srv", "format": format_}), RUN) as spool:
            for _ in range(batches):
                spool.take(batch)
            spool.close()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(100) < 2 * peak(10) + 2**20


def test_null_is_not_the_empty_text_and_json_is_compared_by_its_content() -> None:
    assert form(None) != form("")
    assert form(form(None)) == form(None)
    assert form(JsonText('{"a": 1, "b": 2}')) == form(JsonText('{"b":2,"a":1}'))
    assert form(MOMENT) == "2024-05-01T12:30:01.000005+00:00"


# Names.


def test_a_path_is_of_the_run() -> None:
    template = "/".join(f"{{{name}}}" for name in PLACEHOLDERS)
    assert file_path(template, "people", RUN, 0, "csv") == (
        "people/lake__people/2024-05-01/123001/20240501T123001.000Z-abcdef.csv"
    )
    assert file_path("{run_id}", "people", RUN, 1, "csv") == "20240501T123001.000Z-abcdef-2.csv"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "{object}/{date}"}, "{run_id} is missing"),
        ({"path": "{run_id}/{who}"}, "{who} is none of {object}, {sync}"),
        ({"path": "{run_id!r}"}, "is none of"),
        ({"path": "{run_id.__class__}"}, "is none of"),
        ({"path": "{run_id"}, "no other half"),
        ({"path": "../{run_id}"}, "no folder may be empty, or begin with . or _"),
        ({"path": "/{run_id}"}, "no folder may be empty"),
        ({"path": "_manifests/{run_id}"}, "begin with . or _"),
        ({"path": "a b/{run_id}"}, "letters, digits"),
        ({"url": "ftp://x/y"}, "write file:///folder, s3://bucket/folder"),
        ({"url": "file://relative"}, "with its whole path"),
        ({"url": "file:///srv/../etc"}, "`..`"),
        ({"url": "s3://exports?versionId=1"}, "neither ? nor #"),
        ({"url": "sftp://me:secret-word@host/in"}, "it holds a password"),
        ({"url": "sftp://me@host/in"}, "write `sftp` with `known_hosts`"),
        ({"url": "sftp://me@host/in", "sftp": {"known_hosts": "h"}}, "write `password` or `private_key`"),
        ({"url": "sftp://me@host/in", "sftp": {"password": "p"}}, "known_hosts"),
        ({"url": "gs://exports"}, "write `gcs` with `service_account`"),
        ({"s3": {}}, "`s3` has no meaning for a url of file://"),
        ({"url": "s3://exports", "s3": {"access_key_id": "k"}}, "or neither"),
    ],
)
def test_what_would_not_work_is_said_where_it_stands(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Options.model_validate({"url": "file:///srv/exports", **options})
    assert said in str(refused.value)
    assert "secret-word" not in str(refused.value)


def test_a_url_names_its_place() -> None:
    place = located("sftp://me@files.example:2222/~/in/")
    assert (place.user, place.host, place.port, place.folder) == ("me", "files.example", 2222, "/~/in")
    place = located("s3://exports/crm/daily/")
    assert (place.scheme, place.host, place.folder) == ("s3", "exports", "crm/daily")


def test_an_endpoint_in_the_open_is_refused() -> None:
    options = Options.model_validate({"url": "s3://exports", "s3": {"endpoint_url": "http://store.example"}})
    with pytest.raises(ConfigError, match="endpoint_url of lake is plain http to another machine"):
        store_of("lake", options, SystemClock())
    store_of("lake", options.model_copy(update={"allow_insecure": True}), SystemClock())


def test_a_mistake_is_said_with_its_file_and_line(tmp_path: Path) -> None:
    page = tmp_path / "connections.yml"
    page.write_text("url: file:///srv/exports\nformat: parquet\npath: '{object}/{date}'\n")
    with pytest.raises(ConfigError) as refused:
        documents.parse(documents.read_yaml(page), Options)
    assert ":3: path: {run_id} is missing" in str(refused.value)
