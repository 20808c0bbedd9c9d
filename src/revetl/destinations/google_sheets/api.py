"""One spreadsheet over the Sheets API v4: its requests, and Google's ways of saying no."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from revetl.errors import Denied, Rejected
from revetl.http import Policy, Response, ResponseVerdict, Session, SessionRequest, one_word
from revetl.json_documents import parse_json

READS, WRITES = "reads", "writes"  # the names of the two rate limits
# What a write was worked out from is old after a wait, so it is not repeated by itself: the rows are read again first.
_ONCE = Policy(timeout_s=180.0, deadline_s=180.0, max_attempts=1, throttle_patience_s=-1.0)
_LONG = Policy(timeout_s=180.0, deadline_s=400.0)  # Google gives up after 180 s itself (docs)
_TOO_MANY = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"})
_WAIT_S = 10.0  # the quota is of a minute, and no answer says how long to wait (docs)
_MOST_VALUES = 12_000_000  # a spreadsheet has ten million cells


class SheetsApi:
    """Of one spreadsheet. Denied, Throttled, Unavailable and Ambiguous leave as the session raises them; Rejected:
    nothing of the request was applied."""

    def __init__(self, session: Session, spreadsheet_id: str) -> None:
        self._session, self._path = session, f"/v4/spreadsheets/{spreadsheet_id}"

    @property
    def name(self) -> str:
        return self._session.name

    async def tabs(self) -> Mapping[str, Any]:
        """The spreadsheet's title and the properties of its tabs."""
        return await self._read("", [("fields", "properties.title,sheets.properties")], READS)

    async def values(self, ranges: Iterable[str], limit: str = READS) -> list[Mapping[str, Any]]:
        """One `ValueRange` per range, by columns: numbers as numbers, whatever the sheet's language."""
        how = [("majorDimension", "COLUMNS"), ("valueRenderOption", "UNFORMATTED_VALUE")]
        asked = [*how, *(("ranges", range_) for range_ in ranges)]
        found = (await self._read("/values:batchGet", asked, limit)).get("valueRanges")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise Rejected(f"{self.name}: the answer has no valueRanges", code="UNREADABLE")
        return found

    async def put(self, data: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Writes ranges as they stand (RAW), all or none. The answer says what stands in them then."""
        sent = {
            "valueInputOption": "RAW",
            "data": data,
            "includeValuesInResponse": True,
            "responseValueRenderOption": "UNFORMATTED_VALUE",
        }
        return await self._write("/values:batchUpdate", sent)

    async def change(self, requests: Sequence[Mapping[str, Any]], shown_range: str | None = None) -> Mapping[str, Any]:
        """Changes the spreadsheet's structure, all or none. `shown_range`: what the answer shows as it stands then."""
        sent: dict[str, Any] = {"requests": requests}
        fields = "replies"
        if shown_range is not None:
            sent |= {"includeSpreadsheetInResponse": True, "responseRanges": [shown_range]}
            fields += ",updatedSpreadsheet.sheets.data.rowData.values.effectiveValue"
        return await self._write(":batchUpdate?" + urlencode({"fields": fields}), sent)

    async def _read(self, path: str, query: Iterable[tuple[str, str]], limit: str) -> Mapping[str, Any]:
        asked = f"{self._path}{path}?{urlencode(list(query), quote_via=quote)}"
        outgoing = SessionRequest("GET", asked, shown_as=self._path + path)
        return self._document(await self._session.send(outgoing, idempotent=True, limit=limit, policy=_LONG))

    async def _write(self, path: str, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        content = json.dumps(sent, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        headers = {"content-type": "application/json"}
        shown_as = self._path + path.partition("?")[0]
        outgoing = SessionRequest("POST", self._path + path, content, {}, headers, shown_as)
        return self._document(await self._session.send(outgoing, limit=WRITES, policy=_ONCE))

    def _document(self, response: Response) -> Mapping[str, Any]:
        if response.is_success:
            return document(response)
        code = error_code(response) or str(response.status_code)
        said = self._session.excerpt(response, str(_error(response).get("message") or ""))
        message = f"{self.name}: {code}: {said}"
        if "Unable to parse range" in said:
            raise Denied(f"{message} (is the tab still there?)", code=code, status=response.status_code)
        raise Rejected(message, code=code, status=response.status_code)


def document(response: Response) -> Mapping[str, Any]:
    """The JSON object of the answer; empty where there is none."""
    try:
        body = parse_json(response.content, most_values=_MOST_VALUES)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def readable(response: Response) -> bool:
    return response.content.lstrip()[:1] == b"{"


def error_code(response: Response) -> str | None:
    return None if response.is_success else one_word(str(_error(response).get("status") or "")) or None


def verdict(response: Response) -> ResponseVerdict | None:
    """Too many requests may be said with 403 (docs)."""
    if response.status_code in (403, 429) and _reasons(response) & _TOO_MANY:
        return ResponseVerdict.THROTTLED
    return None


def wait_s(response: Response) -> float | None:
    return _WAIT_S if response.status_code == 429 or verdict(response) is ResponseVerdict.THROTTLED else None


def _error(response: Response) -> Mapping[str, Any]:
    """`{error: {code, message, status, details[]}}` (docs), or the token endpoint's."""
    found = document(response).get("error")
    return found if isinstance(found, dict) else {}


def _reasons(response: Response) -> set[str]:
    error = _error(response)
    listed = [*_dicts(error.get("details")), *_dicts(error.get("errors"))]
    return {str(error.get("status"))} | {str(one.get("reason")) for one in listed}


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
