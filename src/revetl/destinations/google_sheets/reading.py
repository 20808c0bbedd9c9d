"""What stands in a tab: its header row, its key column, and the columns that are asked for, all at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from revetl.destinations.google_sheets.a1 import whole_column, whole_row
from revetl.destinations.google_sheets.api import READS, SheetsApi
from revetl.destinations.google_sheets.values import form
from revetl.errors import ConfigError, Rejected, did_you_mean

_TRIES = 4  # a person may move a column between two questions, and not each time


@dataclass(frozen=True, slots=True)
class Tab:
    """`key`: the column that names a row. `id`: by which requests of structure name the tab."""

    id: int
    title: str
    key: str


@dataclass(frozen=True, slots=True)
class TabView:
    """A tab at one moment. `header`: name → column from 0, of names that stand once. `rows`: key → its row, from 1;
    `repeated`: key → its rows, where there are several. `columns`: name → the values of the column, the header's among
    them."""

    header: Mapping[str, int]
    rows: Mapping[str, int]
    repeated: Mapping[str, Sequence[int]]
    columns: Mapping[str, Sequence[Any]]

    def value(self, row: int, name: str) -> Any:
        """None for an empty cell."""
        values = self.columns[name]
        found = values[row - 1] if row <= len(values) else None
        return None if found == "" else found


class TabReader:
    """Of one spreadsheet. Where the columns stand is remembered, so that one request is enough as long as they stay."""

    def __init__(self, api: SheetsApi, keys: Mapping[str, str]) -> None:
        self._api, self._keys = api, keys
        self._tabs: dict[str, Tab] = {}
        self._headers: dict[str, dict[str, int]] = {}

    async def tab(self, title: str) -> Tab:
        """ConfigError for a tab that is not there, or has no key column."""
        if title in self._tabs:
            return self._tabs[title]
        found = [sheet.get("properties") or {} for sheet in (await self._api.tabs()).get("sheets") or ()]
        ids = {str(one.get("title")): one.get("sheetId") for one in found}
        if title not in ids:
            raise ConfigError(f"{self._api.name}: there is no tab {title!r}", hint=did_you_mean(title, list(ids)))
        [header] = await self._api.values([whole_row(title, 1)])
        names = self._headers[title] = header_of(header)
        first = next(iter(names), None)
        key = self._keys.get(title, first)
        if key is None or key not in names:
            message = f"{self._api.name}: the first row of {title!r} names no column" + (f" {key!r}" if key else "s")
            hint = did_you_mean(key, list(names)) if key else None
            raise ConfigError(message, hint=hint or "The first row holds a name above each column, each once.")
        tab = self._tabs[title] = Tab(int(ids[title] or 0), title, key)
        return tab

    def names(self, tab: Tab) -> list[str]:
        """Of the columns, as they stood last."""
        return list(self._headers[tab.title])

    async def read(self, tab: Tab, names: Iterable[str], limit: str = READS) -> TabView:
        """Names that are no columns are left out. Rejected where the columns don't stand still, or the key column is
        gone."""
        wanted = [tab.key, *(name for name in dict.fromkeys(names) if name != tab.key)]
        for _ in range(_TRIES):
            header = self._headers[tab.title]
            if tab.key not in header:
                message = f"{self._api.name}: {tab.title!r} has no column {tab.key!r} any more"
                raise Rejected(message, code="NO_KEY_COLUMN")
            there = [name for name in wanted if name in header]
            ranges = [whole_row(tab.title, 1), *(whole_column(tab.title, header[name]) for name in there)]
            first, *columns = await self._api.values(ranges, limit)
            stands = self._headers[tab.title] = header_of(first)
            still = [name for name in wanted if name in stands] == there
            if still and len(columns) == len(there) and all(stands[name] == header[name] for name in there):
                return _view(tab, stands, {n: _only(c) for n, c in zip(there, columns, strict=True)})
        raise Rejected(f"{self._api.name}: the columns of {tab.title!r} do not stand still", code="COLUMNS_MOVED")


def header_of(row: Mapping[str, Any]) -> dict[str, int]:
    """Name → column. Blanks around a name don't count; a name that stands twice is none."""
    names = [form(column[0]).strip() if column else "" for column in row.get("values") or ()]
    return {name: n for n, name in enumerate(names) if name and names.count(name) == 1}


def _view(tab: Tab, header: Mapping[str, int], columns: Mapping[str, Sequence[Any]]) -> TabView:
    at: dict[str, list[int]] = {}
    for row, value in enumerate(columns[tab.key][1:], start=2):
        if key := form(value):
            at.setdefault(key, []).append(row)
    rows = {key: found[0] for key, found in at.items()}
    return TabView(header, rows, {key: found for key, found in at.items() if len(found) > 1}, columns)


def _only(column: Mapping[str, Any]) -> Sequence[Any]:
    """Of a range that is one column. An empty one has no values at all."""
    values = column.get("values") or [[]]
    return values[0] if isinstance(values[0], list) else []
