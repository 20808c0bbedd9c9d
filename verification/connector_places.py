"""Each connector at the place that it is killed in front of: a sandbox over HTTP, or a real server on this machine."""

from __future__ import annotations

import json
import random
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from revetl.clock import Clock, SystemClock
from revetl.destinations.base import Destination
from revetl.destinations.files.connector import Files, store_of
from revetl.destinations.files.options import Options as FilesOptions
from revetl.destinations.google_sheets import GoogleSheets
from revetl.destinations.google_sheets import Options as SheetsOptions
from revetl.destinations.http import Options as HttpOptions
from revetl.destinations.http import connect as connect_http
from revetl.destinations.hubspot import HubSpot
from revetl.destinations.hubspot import Options as HubSpotOptions
from revetl.destinations.salesforce import Options as SalesforceOptions
from revetl.destinations.salesforce import Salesforce
from revetl.destinations.slack import Options as SlackOptions
from revetl.destinations.slack import connect as connect_slack
from revetl.destinations.sql.connector import SqlDestination, SqlLimits
from revetl.http import default_transport
from revetl.model import Guardrails, Relation, SyncSpec
from revetl.sandbox.process import SandboxProcess
from tests.support import any_api, file_servers
from tests.support.crashing import Fuse
from tests.support.files import FileWire, WiredStore, applied, files_below, read_runs
from tests.support.sql_destinations import VENDORS, SqlVendor, SqlWire, WiredDialect
from verification.kills import DeadlyTransport, portal

KEYS = [f"k{n:02d}" for n in range(40)]
_SPEED = 20.0

Standing = dict[str, list[str | None]]


class QuickClock(SystemClock):
    """The time of day as it is, waits a twentieth as long."""

    def monotonic(self) -> float:
        return time.monotonic() * _SPEED

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / _SPEED)


@dataclass(frozen=True)
class Place:
    """`columns`: of the model, in SQL over `key` and `value`. `standing`: key → the value of each record that stands
    there for it. `guarantee`: as docs/destinations.md says it. `grows`: rows are added and never changed."""

    title: str
    guarantee: str
    object: str
    columns: Mapping[str, str]
    match_on: str | None
    connect: Callable[[Clock, Fuse], Destination]
    standing: Callable[[], Standing]
    grows: bool = False
    may_stay_unknown: bool = False
    spec: SyncSpec = field(init=False)

    def __post_init__(self) -> None:
        mode: dict[str, Any] = {"mode": "insert"} if self.grows else {"mode": "mirror", "on_leave": "archive"}
        spec = SyncSpec(
            name="people",
            relation=Relation("main", "people"),
            destination="crm",
            object=self.object,
            key="golden_id",
            match_on=self.match_on,
            columns=tuple(self.columns),
            guardrails=Guardrails(min_rows=0, max_changed_share=1.0, max_deleted_share=1.0, deletes_declared=True),
            **mode,
        )
        object.__setattr__(self, "spec", spec)


def places(stack: ExitStack, folder: Path) -> tuple[list[Place], list[str]]:
    """All of them, their servers up until the stack is left; and why some could not be had."""
    sandbox = stack.enter_context(SandboxProcess(options=("--no-limits", "--job-seconds", "0.05")))
    url = sandbox.base_url
    makers: list[Callable[[], Place]] = [
        lambda: _hubspot(url),
        lambda: _salesforce(url, "Contact", bulk_from=10**6),
        lambda: _salesforce(url, "Lead", bulk_from=1),
        lambda: _http_single(url),
        lambda: _http_batch(url),
        lambda: _slack(url),
        lambda: _slack_webhook(url),
        lambda: _google_sheets(url),
        *(partial(_sql, kind, stack) for kind in VENDORS),
        *(partial(_files, kind, folder / f"files-{n}") for n, kind in enumerate(("a folder", "S3", "SFTP"))),
    ]
    made, missing = list[Place](), list[str]()
    for make in makers:
        try:
            made.append(make())
        except pytest.skip.Exception as e:  # as the tests say that a server is not installed
            missing.append(str(e))
    return made, missing


def _hubspot(url: str) -> Place:
    options = {"base_url": url, "token": "pat-test", "batch_rows": 5, "concurrency": 2, "requests_per_10_s": 1000}

    def connect(clock: Clock, fuse: Fuse) -> Destination:
        transport = DeadlyTransport(default_transport(url), fuse)
        return HubSpot("crm", HubSpotOptions.model_validate(options), clock, transport=transport, rng=random.Random(1))

    columns = {"email": "key || '@corp.example'", "firstname": "value"}
    return Place(
        "HubSpot",
        "once, repeated",
        "contacts",
        columns,
        "email",
        connect,
        lambda: {k: list(v) for k, v in portal(url).items()},
    )


def _salesforce(url: str, object_: str, bulk_from: int) -> Place:
    auth = {"type": "oauth_client_credentials", "client_id": "app", "client_secret": "a-word"}
    options = {"base_url": f"{url}/salesforce", "auth": auth, "batch_rows": 5, "concurrency": 2, "bulk_from": bulk_from}

    def connect(clock: Clock, fuse: Fuse) -> Destination:
        transport = DeadlyTransport(default_transport(url), fuse)
        validated = SalesforceOptions.model_validate(options)
        return Salesforce("crm", validated, clock, transport=transport, rng=random.Random(1))

    def standing() -> Standing:
        form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "a-word"}
        token = _json(f"{url}/salesforce/services/oauth2/token", form=form)["access_token"]
        query = urllib.parse.urlencode({"q": f"SELECT ExternalId__c, FirstName FROM {object_}"})
        rows = _json(f"{url}/salesforce/services/data/v67.0/query?{query}", token=token)["records"]
        return _by_key((row["ExternalId__c"], row["FirstName"]) for row in rows)

    columns = {"ExternalId__c": "key", "LastName": "key", "FirstName": "value"}
    columns |= {"Company": "'Acme'"} if object_ == "Lead" else {}
    title = "Salesforce, rows" if bulk_from > 1 else "Salesforce, bulk jobs"
    return Place(title, "once, repeated", object_, columns, "ExternalId__c", connect, standing)


def _http(title: str, url: str, api: Mapping[str, Any], object_: str, guarantee: str, read: Callable[[], Any]) -> Place:
    """`read`: the rows that stand there."""
    options = {**api, "base_url": f"{url}/any_api"}

    def connect(clock: Clock, fuse: Fuse) -> Destination:
        transport = DeadlyTransport(default_transport(url), fuse)
        return connect_http("crm", HttpOptions.model_validate(options), clock, transport)

    def standing() -> Standing:
        return _by_key((str(row["email"]).partition("@")[0], row["name"]) for row in read())

    columns = {"email": "key || '@corp.example'", "name": "value"}
    return Place(title, guarantee, object_, columns, "email", connect, standing)


def _http_single(url: str) -> Place:
    api = {**any_api.REST, "auth": {"type": "api_key", "header": "x-api-key", "value": "a-word"}}

    def read() -> list[Mapping[str, Any]]:
        page, rows = f"{url}/any_api/rest/users", list[Mapping[str, Any]]()
        while page:
            answer = _json(page, headers={"x-api-key": "a-word"})
            rows, page = rows + answer["data"], answer["next_url"]
        return rows

    return _http("HTTP API, one record a call", url, api, "users", "once, looked for", read)


def _http_batch(url: str) -> Place:
    token_url = f"{url}/any_api/oauth/token"
    auth = {**any_api.BATCH["auth"], "client_secret": "a-word", "token_url": token_url}

    def read() -> list[Mapping[str, Any]]:
        form = {"grant_type": "client_credentials", "client_secret": "a-word", "scope": "contacts.read"}
        token = _json(token_url, form=form)["access_token"]
        asked = ",".join(f"{key}@corp.example" for key in KEYS)
        found = _json(f"{url}/any_api/batch/contacts?email={asked}", token=token)["contacts"]
        return [contact["attributes"] for contact in found]

    return _http("HTTP API, batches", url, {**any_api.BATCH, "auth": auth}, "contacts", "once, repeated", read)


def _slack(url: str) -> Place:
    options = {"token": "xoxb-a-word", "base_url": f"{url}/slack/api"}

    def connect(clock: Clock, fuse: Fuse) -> Destination:
        return connect_slack(
            "crm", SlackOptions.model_validate(options), clock, DeadlyTransport(default_transport(url), fuse)
        )

    columns = {"message_key": "key", "text": "key || ' ' || value"}
    return Place(
        "Slack, a token that reads the channel",
        "once, looked for",
        "#signups",
        columns,
        "message_key",
        connect,
        lambda: _messages(url, "signups"),
        grows=True,
    )


def _slack_webhook(url: str) -> Place:
    options = {"webhook_url": f"{url}/slack/services/T0/B0/word"}

    def connect(clock: Clock, fuse: Fuse) -> Destination:
        return connect_slack(
            "crm", SlackOptions.model_validate(options), clock, DeadlyTransport(default_transport(url), fuse)
        )

    columns = {"text": "key || ' ' || value"}
    return Place(
        "Slack, a webhook",
        "at most once",
        "messages",
        columns,
        None,
        connect,
        lambda: _messages(url, "general"),
        grows=True,
        may_stay_unknown=True,
    )


def _messages(url: str, channel: str) -> Standing:
    token = "xoxb-a-word"
    channels = _json(f"{url}/slack/api/conversations.list?limit=200", token=token)["channels"]
    [id_] = [c["id"] for c in channels if c["name"] == channel]
    found, cursor = list[tuple[str, str]](), ""
    while True:
        page = f"{url}/slack/api/conversations.history?channel={id_}&limit=200&cursor={cursor}"
        answer = _json(page, token=token)
        found += [tuple(m["text"].split(" ", 1)) for m in answer["messages"] if m["text"][:1] == "k"]
        cursor = answer["response_metadata"]["next_cursor"]
        if not cursor:
            return _by_key(found)


def _google_sheets(url: str) -> Place:
    base, id_ = f"{url}/google_sheets", "1SandboxSpreadsheetThatIsSharedWithYou"
    account = {"client_id": "app", "client_secret": "a-word", "refresh_token": "a-word"}
    auth = {"type": "oauth_refresh_token", **account, "token_url": f"{base}/token"}
    options = {"base_url": base, "spreadsheet_id": id_, "auth": auth, "batch_rows": 5, "requests_per_min": 300}
    form = {"grant_type": "refresh_token", **account}
    token = _json(f"{base}/token", form=form)["access_token"]  # for an hour

    def connect(clock: Clock, fuse: Fuse) -> Destination:
        transport = DeadlyTransport(default_transport(url), fuse)
        return GoogleSheets("crm", SheetsOptions.model_validate(options), clock, transport=transport)

    def standing() -> Standing:
        rows = _json(f"{base}/v4/spreadsheets/{id_}/values/Customers!A2:C", token=token).get("values", [])
        return _by_key((row[0], row[2]) for row in rows)

    columns = {"id": "key", "name": "value"}
    return Place("Google Sheets", "once, looked for", "Customers", columns, "id", connect, standing)


def _sql(kind: str, stack: ExitStack) -> Place:
    vendor: SqlVendor = VENDORS[kind]()
    stack.callback(vendor.drop)
    vendor.ask("CREATE TABLE people (email varchar(100) PRIMARY KEY, name varchar(100))")

    def connect(clock: Clock, fuse: Fuse) -> Destination:
        wire = SqlWire(fuse=fuse, on_ask=lambda sql: fuse.tick())
        return SqlDestination("crm", WiredDialect(vendor.dialect(), wire), SqlLimits(5, 2), clock)

    def standing() -> Standing:
        return _by_key(vendor.ask("SELECT email, name FROM people"))

    columns = {"email": "key", "name": "value"}
    title = {"postgres": "PostgreSQL", "mariadb": "MariaDB"}[kind]
    return Place(title, "exactly once", "people", columns, "email", connect, standing)


def a_folder(folder: Path) -> Place:
    return _files("a folder", folder)


def _files(kind: str, folder: Path) -> Place:
    folder.mkdir()
    options: dict[str, Any] = {"format": "ndjson", "url": f"file://{folder}"}
    read = lambda: files_below(folder)  # noqa: E731
    if kind == "S3":
        s3 = file_servers.lasting_s3()
        bucket = s3.new_bucket()
        options |= {"url": f"s3://{bucket}/crm", "s3": s3.options()}
        read = lambda: file_servers.files_in_bucket(s3, bucket, "crm/")  # noqa: E731
    elif kind == "SFTP":
        sftp = file_servers.lasting_sftp()
        options |= {"url": sftp.url(folder), "sftp": sftp.options()}

    def connect(clock: Clock, fuse: Fuse) -> Destination:
        validated = FilesOptions.model_validate(options)
        return Files("crm", validated, clock, WiredStore(store_of("crm", validated, clock), FileWire(fuse=fuse)))

    def standing() -> Standing:
        """What a reader holds after all complete runs. Fails where one of them is not whole, or not once."""
        return {str(key): [row["name"]] for key, row in applied(read_runs(read(), "people")).items()}

    columns = {"golden_id": "key", "name": "value"}
    return Place(f"Files in {kind}", "exactly once", "people", columns, None, connect, standing)


def _by_key(pairs: Any) -> Standing:
    found: Standing = defaultdict(list)
    for key, value in pairs:
        found[str(key)].append(value)
    return dict(found)


def _json(
    url: str,
    *,
    token: str | None = None,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    sent = {**(headers or {}), **({"authorization": f"Bearer {token}"} if token else {})}
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(urllib.request.Request(url, data, sent)) as answer:
        return json.load(answer)
