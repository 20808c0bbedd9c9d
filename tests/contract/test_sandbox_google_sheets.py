"""The Google Sheets sandbox under Google's own client, which knows nothing of us."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google.auth.exceptions import RefreshError
from google.oauth2.service_account import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from revetl.sandbox.google_sheets.vendor import NOT_SHARED, SPREADSHEET, GoogleSheetsSandbox
from revetl.sandbox.server import running_sandbox
from revetl.sandbox.settings import SandboxSettings

SCOPE = "https://www.googleapis.com/auth/spreadsheets"


def refusal(call: Any) -> tuple[int, str]:
    """(status, Google's word for it)"""
    with pytest.raises(HttpError) as caught:
        call.execute()
    return int(caught.value.resp.status), json.loads(caught.value.content)["error"]["status"]


async def with_client(work: Callable[[Any, str], None], settings: SandboxSettings | None = None) -> GoogleSheetsSandbox:
    """`work` gets Google's client and the sandbox's address. The client blocks; the server runs in this loop."""

    def drive(base: str) -> None:
        key = httpx.get(f"{base}/key").json()
        credentials = Credentials.from_service_account_info(key, scopes=[SCOPE])  # type: ignore[no-untyped-call]  # untyped
        options = {"api_endpoint": f"{base}/"}
        with build("sheets", "v4", credentials=credentials, client_options=options, static_discovery=True) as client:
            work(client.spreadsheets(), base)

    async with running_sandbox(settings=settings or SandboxSettings()) as running:
        await asyncio.to_thread(drive, f"{running.base_url}/google_sheets")
        return running.vendor(GoogleSheetsSandbox)


async def test_rows_through_their_life() -> None:
    def live(sheets: Any, base: str) -> None:
        about = sheets.get(spreadsheetId=SPREADSHEET, fields="sheets.properties(title,sheetId)").execute()
        assert [s["properties"]["title"] for s in about["sheets"]] == ["Customers", "Notes"]
        values = sheets.values()
        rows = [["c1", "a@x.example", "Ann", None, 7, True], ["c2", "b@x.example", "=1+1"], ["c3", "", "Cy"]]
        added = values.append(
            spreadsheetId=SPREADSHEET,
            range="Customers!A1",
            valueInputOption="RAW",
            insertDataOption="INSERT_ROWS",
            body={"values": rows},
        ).execute()
        assert added["updates"]["updatedRange"] == "Customers!A2:F4"
        data = [{"range": "Customers!A3:E3", "values": [[None, None, "Bob", None, 1.5]]}]
        sent = {"valueInputOption": "RAW", "data": data, "includeValuesInResponse": True}
        put = values.batchUpdate(spreadsheetId=SPREADSHEET, body=sent).execute()
        [echo] = put["responses"]
        assert (put["totalUpdatedCells"], echo["updatedRange"]) == (2, "Customers!A3:E3")
        assert echo["updatedData"]["values"] == [["c2", "b@x.example", "Bob", "", "1.5"]], "null leaves a cell as it is"
        asked = {"majorDimension": "COLUMNS", "valueRenderOption": "UNFORMATTED_VALUE"}
        found = values.batchGet(spreadsheetId=SPREADSHEET, ranges=["Customers!A:A", "Customers!E:F"], **asked).execute()
        keys, both = found["valueRanges"]
        assert keys["values"] == [["id", "c1", "c2", "c3"]]
        assert both["values"] == [["score", 7, 1.5], ["vip", True]], "what is empty at the end is cut"
        lines = [2, 1]
        spans = [{"sheetId": 0, "dimension": "ROWS", "startIndex": n, "endIndex": n + 1} for n in lines]
        deletes = [{"deleteDimension": {"range": span}} for span in spans]
        assert len(sheets.batchUpdate(spreadsheetId=SPREADSHEET, body={"requests": deletes}).execute()["replies"]) == 2
        left = values.get(spreadsheetId=SPREADSHEET, range="Customers!A2:F").execute()
        assert left["values"] == [["c3", "", "Cy"]]
        cell = {"userEnteredValue": {"stringValue": "=NOW()"}}
        appended = {"sheetId": 1, "rows": [{"values": [{}, cell]}], "fields": "userEnteredValue"}
        body = {
            "requests": [{"appendCells": appended}, {"addSheet": {"properties": {"title": "Bob's"}}}],
            "includeSpreadsheetInResponse": True,
            "responseRanges": ["Notes!A1:B1"],
        }
        answer = sheets.batchUpdate(spreadsheetId=SPREADSHEET, body=body).execute()
        assert answer["replies"][1]["addSheet"]["properties"]["title"] == "Bob's"
        shown = answer["updatedSpreadsheet"]["sheets"][0]["data"][0]["rowData"][0]["values"]
        assert shown[1]["effectiveValue"] == {"stringValue": "=NOW()"}
        assert values.get(spreadsheetId=SPREADSHEET, range="'Bob''s'!A1").execute()["range"] == "'Bob''s'!A1"
        values.clear(spreadsheetId=SPREADSHEET, range="Notes!A1:B1", body={}).execute()
        assert "values" not in values.get(spreadsheetId=SPREADSHEET, range="Notes").execute()
        entered = {
            "range": "Notes!A1:C1",
            "valueInputOption": "USER_ENTERED",
            "body": {"values": [["=1+1", "7", "'7"]]},
        }
        values.update(spreadsheetId=SPREADSHEET, **entered).execute()
        asked = {"range": "Notes!A1:C1", "valueRenderOption": "FORMULA"}
        assert values.get(spreadsheetId=SPREADSHEET, **asked).execute()["values"] == [["=1+1", 7, "7"]]

    vendor = await with_client(live)
    assert vendor.requests["tokens"] == 1


async def test_refusals_are_googles_own() -> None:
    def refused(sheets: Any, base: str) -> None:
        values = sheets.values()
        invalid = (400, "INVALID_ARGUMENT")
        assert refusal(sheets.get(spreadsheetId=NOT_SHARED)) == (403, "PERMISSION_DENIED")
        assert refusal(sheets.get(spreadsheetId="1NowhereNowhere")) == (404, "NOT_FOUND")
        for range_ in ("Nowhere!A1", "Customers!A1001", "Customers!AA1", "Customers!?"):
            assert refusal(values.get(spreadsheetId=SPREADSHEET, range=range_)) == invalid, range_
        good = {"range": "Customers!A2:B2", "values": [["c1", "x"]]}
        for bad in (
            {"range": "Customers!A3", "values": [["x" * 50_001]]},
            {"range": "Customers!A3", "values": [[["a list"]]]},
            {"range": "Customers!A3:A3", "values": [["a", "b"]]},
        ):
            body = {"valueInputOption": "RAW", "data": [good, bad]}
            assert refusal(values.batchUpdate(spreadsheetId=SPREADSHEET, body=body)) == invalid
        assert refusal(values.batchUpdate(spreadsheetId=SPREADSHEET, body={"data": [good]})) == invalid
        unknown = {"valueInputOption": "RAW", "data": [good], "upsert": True}
        assert refusal(values.batchUpdate(spreadsheetId=SPREADSHEET, body=unknown)) == invalid
        twice = [{"addSheet": {"properties": {"title": "New"}}}, {"addSheet": {"properties": {"title": "Notes"}}}]
        assert refusal(sheets.batchUpdate(spreadsheetId=SPREADSHEET, body={"requests": twice})) == invalid
        huge = [{"appendDimension": {"sheetId": 0, "dimension": "ROWS", "length": 10**6}}]
        assert refusal(sheets.batchUpdate(spreadsheetId=SPREADSHEET, body={"requests": huge})) == invalid
        assert "values" not in values.get(spreadsheetId=SPREADSHEET, range="Customers!A2:F").execute(), "all or none"
        assert len(sheets.get(spreadsheetId=SPREADSHEET).execute()["sheets"]) == 2
        key = httpx.get(f"{base}/key").json()
        for spoilt in ({"client_email": "who@x.example"}, {"private_key_id": "another"}, {"token_uri": f"{base}/key"}):
            with pytest.raises(RefreshError):
                google_token({**key, **spoilt})
        with pytest.raises(RefreshError):
            google_token(key, scope="https://www.googleapis.com/auth/calendar")

    vendor = await with_client(refused, SandboxSettings(limited=False))
    assert vendor.shared.tab("Customers").last_row == 1


def google_token(key: dict[str, str], scope: str = SCOPE) -> None:
    from google.auth.transport.requests import Request

    Credentials.from_service_account_info(key, scopes=[scope]).refresh(Request())  # type: ignore[no-untyped-call]  # untyped


async def test_sixty_a_minute_and_no_more() -> None:
    def hurry(sheets: Any, base: str) -> None:
        for _ in range(3):
            sheets.get(spreadsheetId=SPREADSHEET).execute()
        assert refusal(sheets.get(spreadsheetId=SPREADSHEET)) == (429, "RESOURCE_EXHAUSTED")
        values = {"range": "Notes!A1", "valueInputOption": "RAW", "body": {"values": [["x"]]}}
        sheets.values().update(spreadsheetId=SPREADSHEET, **values).execute()

    await with_client(hurry, SandboxSettings(vendors={"google_sheets": {"requests_per_min": 3}}))


async def test_people_edit_and_what_stands_is_kept() -> None:
    def write(sheets: Any, base: str) -> None:
        values = {"range": "Customers!A2:C2", "valueInputOption": "RAW", "body": {"values": [["c1", "=x", "Ann"]]}}
        sheets.values().update(spreadsheetId=SPREADSHEET, **values).execute()
        hand = {"object": "Customers", "id": "c1", "properties": {"name": "=1+1", "score": "7"}}
        edited = httpx.post(base.replace("/google_sheets", "/_sandbox/edit"), json=hand).json()
        assert edited["score"] == 7

    vendor = await with_client(write)
    kept = vendor.dump()
    vendor.reset()
    assert vendor.shared.tab("Customers").last_row == 1
    vendor.restore(json.loads(json.dumps(kept)))
    assert vendor.dump() == kept
    assert vendor.shared.tab("Customers").shown(vendor.shared.tab("Customers").area("B2:E2"), "FORMULA") == [
        ["=x", "=1+1", "", 7]
    ]
