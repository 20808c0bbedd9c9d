"""The Sheets API v4, as far as values and rows go. `/google_sheets/key` gives the JSON key of its one service account,
`/google_sheets/token` the tokens that this key, or a refresh token, is exchanged for."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from secrets import token_urlsafe
from typing import Any

from aiohttp import web
from pydantic import Field

from revetl.sandbox.google_sheets.grid import Area, Formula, SheetGrid, by_columns, entered
from revetl.sandbox.google_sheets.masks import masked, parsed
from revetl.sandbox.google_sheets.refusal import SheetsRefusal, invalid
from revetl.sandbox.google_sheets.spreadsheet import Spreadsheet
from revetl.sandbox.google_sheets.tokens import LIVES_S, InvalidGrant, granted_scope, key_file
from revetl.sandbox.vendor import Handler, Routes, SandboxVendor, VendorContext, VendorOptions

SPREADSHEET = "1SandboxSpreadsheetThatIsSharedWithYou"
NOT_SHARED = "1SandboxSpreadsheetThatIsNotSharedAtAll"
CUSTOMERS = ("id", "email", "name", "plan", "score", "vip")
_RENDERS = ("FORMATTED_VALUE", "UNFORMATTED_VALUE", "FORMULA")
_DATES = ("SERIAL_NUMBER", "FORMATTED_STRING")
_COMMON = {"fields", "alt", "prettyPrint", "key", "quotaUser"}  # what every method takes (discovery document)
_READ = {"majorDimension", "valueRenderOption", "dateTimeRenderOption"}
_ECHO = {"includeValuesInResponse", "responseValueRenderOption", "responseDateTimeRenderOption"}
_RANGE = {"range", "majorDimension", "values"}
_CHANGE = {"requests", "includeSpreadsheetInResponse", "responseRanges", "responseIncludeGridData"}
_WINDOW_S = 60.0

Method = Callable[[web.Request, Spreadsheet, Mapping[str, Any]], Any]


class GoogleSheetsOptions(VendorOptions):
    """`requests_per_min`: reads, and as many writes, of one user."""

    requests_per_min: int = Field(default=60, ge=1)


class GoogleSheetsSandbox(SandboxVendor):
    name = "google_sheets"
    Options = GoogleSheetsOptions

    def __init__(self, context: VendorContext, options: GoogleSheetsOptions) -> None:
        self._clock, self._limited, self._most = context.clock, context.settings.limited, options.requests_per_min
        self._resets = 0
        self.reset()

    def add_routes(self, routes: Routes) -> None:
        routes.get("/key", self._key)
        routes.post("/token", self._token)
        one, values = "/v4/spreadsheets/{id:[^:/]+}", "/v4/spreadsheets/{id:[^:/]+}/values"
        none = set[str]()
        range_ = values + "/{range:[^/]+}"
        put = {"valueInputOption", *_ECHO}
        for method, path, work, taken, members in (
            ("GET", one, self._get, {"ranges", "includeGridData"}, none),
            ("POST", one + ":batchUpdate", self._change, none, _CHANGE),
            ("GET", values + ":batchGet", self._batch_get, {"ranges", *_READ}, none),
            ("POST", values + ":batchUpdate", self._put_many, none, {"data", *put}),
            ("POST", values + ":batchClear", self._clear_many, none, {"ranges"}),
            ("GET", range_, self._values, _READ, none),
            ("PUT", range_, self._put, put, _RANGE),
            ("POST", range_ + ":append", self._append, {"insertDataOption", *put}, _RANGE),
            ("POST", range_ + ":clear", self._clear, none, none),
        ):
            routes.add(method, path, self._answering(work, method == "GET", taken, members))

    def reset(self, *, keep_records: bool = False) -> None:
        self.requests = {"reads": 0, "writes": 0, "tokens": 0}
        self._seen: dict[str, deque[float]] = {"reads": deque(), "writes": deque()}
        self.tokens: dict[str, tuple[float, str]] = {}
        if not keep_records:
            self._resets += 1
            shared = Spreadsheet(SPREADSHEET, "Customers of the company", {"Customers": CUSTOMERS, "Notes": ()})
            self.spreadsheets = {shared.id: shared}

    def stats(self, *, calls: bool = False) -> dict[str, Any]:
        rows = {s.title: max(0, s.last_row - 1) for s in self.shared.sheets}
        return {"requests": sum(self.requests.values()), "kinds": dict(self.requests), "rows": rows}

    @property
    def shared(self) -> Spreadsheet:
        """The one that is there from the start."""
        return self.spreadsheets[SPREADSHEET]

    def has_object(self, name: str) -> bool:
        return any(sheet.title == name for sheet in self.shared.sheets)

    def edit(self, document: dict[str, Any]) -> tuple[int, Any]:
        """A row by what stands in a column. `id`: what stands in the first one."""
        sheet = self.shared.tab(str(document.get("object")))
        header = [str(value or "") for value in (sheet.cells or [[]])[0]]
        match = document.get("match") or {header[0]: document.get("id")}
        named = {**match, **(document.get("properties") or {})}
        if unknown := sorted(set(named) - set(header)):
            return 400, {"error": f"no column {unknown[0]!r}"}
        at = {name: header.index(name) for name in named}
        for row in range(1, sheet.last_row):
            if all(str(sheet.value(row, at[name]) or "") == str(value) for name, value in match.items()):
                for name, value in (document.get("properties") or {}).items():
                    sheet.put(row, at[name], entered(value, "USER_ENTERED", name))
                self.shared.version += 1
                [shown] = sheet.shown(Area(row, row + 1, 0, len(header)), "FORMULA") or [[]]
                return 200, dict(zip(header, shown, strict=False))
        return 404, {"error": "no such row"}

    @property
    def version(self) -> int:
        return self._resets * 2**32 + sum(one.version for one in self.spreadsheets.values()) + len(self.spreadsheets)

    def dump(self) -> dict[str, Any]:
        return {id_: [_kept(sheet) for sheet in one.sheets] for id_, one in self.spreadsheets.items()}

    def restore(self, document: dict[str, Any]) -> None:
        try:
            for id_, sheets in document.items():
                made = self.spreadsheets.setdefault(id_, Spreadsheet(id_, "Kept", {}))
                made.sheets = [_restored(sheet) for sheet in sheets]
        except (TypeError, AttributeError, KeyError) as e:
            raise ValueError("another version wrote it") from e

    async def _key(self, request: web.Request) -> web.Response:
        return web.json_response(key_file(str(request.url.with_path("/google_sheets/token").with_query(None))))

    async def _token(self, request: web.Request) -> web.Response:
        self.requests["tokens"] += 1
        form = {name: str(value) for name, value in (await request.post()).items()}
        now = self._clock.now().timestamp()
        try:
            scope = granted_scope(form, str(request.url.with_query(None)), now)
        except InvalidGrant as e:
            return web.json_response({"error": e.code, "error_description": str(e)}, status=400)
        token = f"ya29.{token_urlsafe(24)}"
        self.tokens[token] = (now + LIVES_S, scope)
        answer = {"access_token": token, "expires_in": LIVES_S - 1, "token_type": "Bearer"}
        return web.json_response(answer | ({"scope": scope} if form["grant_type"] == "refresh_token" else {}))

    def _answering(self, work: Method, is_read: bool, taken: set[str], members: set[str]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._let_in(request)
                self._count("reads" if is_read else "writes")
                if unknown := sorted(set(request.query) - taken - _COMMON):
                    why = f'Unknown name "{unknown[0]}": Cannot bind query parameter.'
                    raise invalid(f"Invalid JSON payload received. {why}")
                sent = {} if is_read else await _body(request, members)
                spreadsheet = self._spreadsheet(request.match_info["id"])
                document = work(request, spreadsheet, sent)
                mask = request.query.get("fields")
                return web.json_response(masked(document, parsed(mask)) if mask else document)
            except SheetsRefusal as e:
                return web.json_response(e.document(), status=e.status)

        return answer

    def _let_in(self, request: web.Request) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        ends, _ = self.tokens.get(token, (0.0, ""))
        if ends <= self._clock.now().timestamp():
            raise SheetsRefusal(401, "Request had invalid authentication credentials. Expected OAuth 2 access token.")

    def _count(self, kind: str) -> None:
        """Of the last minute, by user; there is one."""
        self.requests[kind] += 1
        now, seen = self._clock.monotonic(), self._seen[kind]
        while seen and now - seen[0] >= _WINDOW_S:
            seen.popleft()
        if self._limited and len(seen) >= self._most:
            what = "Read" if kind == "reads" else "Write"
            quota = f"'{what} requests' and limit '{what} requests per minute per user'"
            raise SheetsRefusal(429, f"Quota exceeded for quota metric {quota}", "RATE_LIMIT_EXCEEDED")
        seen.append(now)

    def _spreadsheet(self, id_: str) -> Spreadsheet:
        if id_ == NOT_SHARED:
            raise SheetsRefusal(403, "The caller does not have permission")
        if id_ not in self.spreadsheets:
            raise SheetsRefusal(404, "Requested entity was not found.")
        return self.spreadsheets[id_]

    def _get(self, request: web.Request, one: Spreadsheet, _: Mapping[str, Any]) -> Any:
        return _resource(one, request.query.getall("ranges", []))

    def _change(self, request: web.Request, one: Spreadsheet, sent: Mapping[str, Any]) -> Any:
        answer: dict[str, Any] = {"spreadsheetId": one.id, "replies": one.change(sent.get("requests") or [])}
        if sent.get("includeSpreadsheetInResponse"):
            answer["updatedSpreadsheet"] = _resource(one, sent.get("responseRanges") or [])
        return answer

    def _values(self, request: web.Request, one: Spreadsheet, _: Mapping[str, Any]) -> Any:
        return _shown(one, request.match_info["range"], request.query)

    def _batch_get(self, request: web.Request, one: Spreadsheet, _: Mapping[str, Any]) -> Any:
        ranges = request.query.getall("ranges", [])
        return {"spreadsheetId": one.id, "valueRanges": [_shown(one, r, request.query) for r in ranges]}

    def _put(self, request: web.Request, one: Spreadsheet, sent: Mapping[str, Any]) -> Any:
        ranges = [{"range": request.match_info["range"], **sent}]
        return _written(one, ranges, dict(request.query))[0]

    def _put_many(self, request: web.Request, one: Spreadsheet, sent: Mapping[str, Any]) -> Any:
        responses = _written(one, sent.get("data") or [], sent)
        counts = {name: sum(r[f"updated{name}"] for r in responses) for name in ("Rows", "Columns", "Cells")}
        totals = {f"totalUpdated{name}": n for name, n in counts.items()}
        return {"spreadsheetId": one.id, **totals, "totalUpdatedSheets": 1, "responses": responses}

    def _append(self, request: web.Request, one: Spreadsheet, sent: Mapping[str, Any]) -> Any:
        """Below the last row of the tab. Google looks for a table, and may find a smaller one."""
        sheet, area = one.located(request.match_info["range"])
        rows = sent.get("values") or []
        top, width = max(sheet.last_row, area.top), max((len(row) for row in rows), default=1)
        sheet.grow(top + len(rows), area.left + width)
        target = sheet.named(type(area)(top, top + max(1, len(rows)), area.left, area.left + width))
        [written] = _written(one, [{"range": target, "values": rows}], dict(request.query))
        return {"spreadsheetId": one.id, "tableRange": sheet.named(area), "updates": written}

    def _clear(self, request: web.Request, one: Spreadsheet, _: Mapping[str, Any]) -> Any:
        return {"spreadsheetId": one.id, "clearedRange": _cleared(one, request.match_info["range"])}

    def _clear_many(self, request: web.Request, one: Spreadsheet, sent: Mapping[str, Any]) -> Any:
        ranges = sent.get("ranges") or []
        return {"spreadsheetId": one.id, "clearedRanges": [_cleared(one, range_) for range_ in ranges]}


async def _body(request: web.Request, members: set[str]) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        raise invalid("Invalid JSON payload received.") from None
    if not isinstance(body, dict):
        raise invalid("Invalid JSON payload received. Expected an object.")
    if unknown := sorted(set(body) - members):
        raise invalid(f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.')
    for n, one in enumerate(body.get("data") or ()):
        if not isinstance(one, dict) or set(one) - _RANGE:
            raise invalid(f"Invalid JSON payload received. Unknown name at 'data[{n}]': Cannot find field.")
    return body


def _written(one: Spreadsheet, ranges: list[dict[str, Any]], how: Mapping[str, Any]) -> list[dict[str, Any]]:
    option = how.get("valueInputOption")
    if option not in ("RAW", "USER_ENTERED"):
        raise invalid("'valueInputOption' is required but not specified")
    asked = [(str(r.get("range")), r.get("values") or [], r.get("majorDimension") == "COLUMNS") for r in ranges]
    responses = one.write(asked, str(option))
    if str(how.get("includeValuesInResponse")).lower() == "true":
        render = {"valueRenderOption": how.get("responseValueRenderOption") or _RENDERS[0]}
        for response, (range_, _, by_column) in zip(responses, asked, strict=True):
            turned = {**render, "majorDimension": "COLUMNS" if by_column else "ROWS"}
            response["updatedData"] = _shown(one, range_, turned)
    return responses


def _shown(one: Spreadsheet, range_: str, how: Mapping[str, Any]) -> dict[str, Any]:
    major, render = how.get("majorDimension") or "ROWS", how.get("valueRenderOption") or _RENDERS[0]
    if render not in _RENDERS or major not in ("ROWS", "COLUMNS"):
        raise invalid("Invalid value at 'value_render_option' or 'major_dimension'")
    if (how.get("dateTimeRenderOption") or _DATES[0]) not in _DATES:
        raise invalid("Invalid value at 'date_time_render_option'")
    sheet, area = one.located(range_)
    rows = sheet.shown(area, render)
    named: dict[str, Any] = {"range": sheet.named(area), "majorDimension": major}
    return named | ({"values": by_columns(rows) if major == "COLUMNS" else rows} if rows else {})


def _cleared(one: Spreadsheet, range_: str) -> str:
    sheet, area = one.located(range_)
    one.version += 1
    for row in range(area.top, min(area.bottom, len(sheet.cells))):
        for column in range(area.left, min(area.right, len(sheet.cells[row]))):
            sheet.put(row, column, None)
    return sheet.named(area)


def _resource(one: Spreadsheet, ranges: list[str]) -> dict[str, Any]:
    """The spreadsheet, with the cells of the ranges that are asked for."""
    sheets = [{"properties": sheet.properties(n)} for n, sheet in enumerate(one.sheets)]
    data: dict[int, list[Any]] = {}
    for range_ in ranges:
        sheet, area = one.located(range_)
        rows = [{"values": [_cell_data(v) for v in row]} for row in sheet.shown(area, "UNFORMATTED_VALUE")]
        data.setdefault(one.sheets.index(sheet), []).append({"startRow": area.top, "rowData": rows})
    shown = [{**sheets[n], "data": found} for n, found in data.items()] if ranges else sheets
    return {"spreadsheetId": one.id, "properties": {"title": one.title}, "sheets": shown}


def _cell_data(value: Any) -> dict[str, Any]:
    if value == "":
        return {}
    kind = {bool: "boolValue", str: "stringValue"}.get(type(value), "numberValue")
    return {"userEnteredValue": {kind: value}, "effectiveValue": {kind: value}, "formattedValue": str(value)}


def _kept(sheet: SheetGrid) -> dict[str, Any]:
    cells = [[{"formula": v.text} if isinstance(v, Formula) else v for v in row] for row in sheet.cells]
    return {**asdict(sheet), "cells": cells, "protected": sorted(sheet.protected)}


def _restored(kept: dict[str, Any]) -> SheetGrid:
    cells = [[Formula(v["formula"]) if isinstance(v, dict) else v for v in row] for row in kept["cells"]]
    return SheetGrid(**{**kept, "cells": cells, "protected": set(kept["protected"])})
