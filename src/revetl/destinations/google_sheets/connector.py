"""The Google Sheets destination: an object is a tab, a record is a row. Facts: docs/design/google-sheets.md."""

from __future__ import annotations

from collections.abc import Sequence

from revetl.clock import Clock
from revetl.destinations.base import DestinationField, Limits, ObjectSchema, Quota, RecordMatch
from revetl.destinations.capabilities import TokenScopes
from revetl.destinations.google_sheets import api
from revetl.destinations.google_sheets.options import SCOPE, Options
from revetl.destinations.google_sheets.reading import Tab, TabReader
from revetl.destinations.google_sheets.values import form
from revetl.destinations.google_sheets.writing import TabWriter
from revetl.destinations.session_destination import SessionDestination
from revetl.errors import ConfigError
from revetl.http import Rate, Response, ResponseRules, ResponseVerdict, Session, SessionOptions, Transport
from revetl.model import Change, Outcome, Scalar

_MOST_CELLS = 10_000_000  # of a spreadsheet (unconfirmed)


class GoogleSheets(SessionDestination):
    """One spreadsheet. A row is found by its key, so a record's id is the key as text: rows have no other."""

    def __init__(self, name: str, options: Options, clock: Clock, *, transport: Transport | None = None) -> None:
        self.name = name
        self._options = options
        self._token = options.token(name)
        self._rate = Rate(options.requests_per_min, 60)
        secret = options.auth.refresh_token.get_secret_value() if options.auth is not None else None
        self._session = Session(
            name,
            options.base_url.rstrip("/"),
            SessionOptions(
                rates={"default": self._rate, api.READS: self._rate, api.WRITES: self._rate},
                secrets=[secret] if secret else [],
                allow_insecure=options.allow_insecure,
                auth=[self._token],
            ),
            ResponseRules(
                # Of 503 nobody says that nothing was done. A spreadsheet that is not there is no row's fault.
                verdicts={503: ResponseVerdict.AMBIGUOUS, 404: ResponseVerdict.DENIED},
                verdict=api.verdict,
                retry_after_s=api.wait_s,
                error_code=api.error_code,
                explain=self._explain,
                readable=api.readable,
            ),
            transport=transport,
            clock=clock,
        )
        self._api = api.SheetsApi(self._session, options.spreadsheet_id)
        self._reader = TabReader(self._api, options.keys)

    async def check(self) -> str:
        found = await self._api.tabs()
        grids = [(sheet.get("properties") or {}).get("gridProperties") or {} for sheet in found.get("sheets") or ()]
        cells = sum(int(grid.get("rowCount") or 0) * int(grid.get("columnCount") or 0) for grid in grids)
        title = " ".join(str((found.get("properties") or {}).get("title") or "?").split())
        return f"{title}: {len(grids)} tab(s), {cells:,} of {_MOST_CELLS:,} cells"

    async def scopes(
        self, object_: str, match_on: str | None, others: Sequence[str], *, makes_fields: bool
    ) -> TokenScopes:
        return TokenScopes((SCOPE,), self._token.scopes_granted)

    async def describe(self, object_: str) -> ObjectSchema:
        """ConfigError for a tab that is not there, or whose first row does not name the key's column."""
        tab = await self._reader.tab(object_)
        names = self._reader.names(tab)
        fields = {name: DestinationField(name, "any", unique=name == tab.key) for name in names}
        return ObjectSchema(fields, required={tab.key: "by it a row is found again"})

    def limits(self, object_: str) -> Limits:
        """One call at a time: rows are written by their numbers. Google advises at most 2 MB a request (docs)."""
        return Limits(
            self._options.batch_rows, 1, lookup_rows=50_000, read_rows=50_000, batch_bytes=2**20, delete_rows=500
        )

    def quota(self, object_: str, match_on: str | None) -> Quota:
        return Quota(self._rate, self._rate, self._rate, notes=("the key column is read again before each write",))

    def normalise(self, object_: str, field: str, value: Scalar) -> str:
        return form(value)

    def idempotent(self, object_: str, match_on: str | None) -> bool:
        """The key column is read before each write, so a create that is repeated finds the row of the first."""
        return True

    async def look_up(
        self, object_: str, match_on: str, values: Sequence[Scalar], fields: Sequence[str]
    ) -> dict[str, RecordMatch]:
        tab = await self._reader.tab(object_)
        if match_on != tab.key:
            message = f"{self.name}: rows of {object_!r} are found by {tab.key!r}, and not by {match_on!r}"
            raise ConfigError(message, hint=f"Write `keys: {{{object_}: {match_on}}}` in connections.yml.")
        return await self._found(tab, {form(value) for value in values}, fields)

    async def read_back(self, object_: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, RecordMatch]:
        return await self._found(await self._reader.tab(object_), set(ids), fields)

    async def write(self, object_: str, match_on: str | None, changes: Sequence[Change]) -> list[Outcome]:
        """A row that was deleted by hand is rejected with the code NOT_FOUND; one whose key stands twice with
        DUPLICATE_KEY."""
        tab = await self._reader.tab(object_)
        return await TabWriter(self._api, self._reader, tab).write(changes)

    async def _found(self, tab: Tab, keys: set[str], fields: Sequence[str]) -> dict[str, RecordMatch]:
        """Of a key that stands twice its first row."""
        view = await self._reader.read(tab, fields)
        there = [name for name in fields if name in view.columns]
        return {
            key: RecordMatch(key, {name: view.value(view.rows[key], name) for name in there})
            for key in keys & view.rows.keys()
        }

    def _explain(self, response: Response) -> str | None:
        if response.status_code == 403:
            who = "the client_email of the key" if self._options.auth is None else "the person who gave consent"
            return f"share the spreadsheet with {who} as an editor, and turn the Sheets API on in the project"
        return "no spreadsheet has this spreadsheet_id, or it was deleted" if response.status_code == 404 else None


def connect(name: str, options: Options, clock: Clock, transport: Transport | None = None) -> GoogleSheets:
    return GoogleSheets(name, options, clock, transport=transport)
