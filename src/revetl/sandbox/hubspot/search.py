"""`POST …/search`: groups of filters joined by OR, filters of a group by AND; sees the past by the index lag."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.portal import PortalCall, Reply
from revetl.sandbox.hubspot.query import int_of
from revetl.sandbox.hubspot.store import ObjectStore, Record
from revetl.sandbox.hubspot.values import moment_of

PAGE_MAX = 200
RESULTS_MAX = 10_000
BODY_MAX_CHARS = 3_000
GROUPS_MAX = 5
FILTERS_MAX = 6
ALL_FILTERS_MAX = 18
# A plain `query` looks in these (docs).
_QUERIED = {"contacts": ("firstname", "lastname", "email", "phone", "company"), "companies": ("name", "domain")}

# What an operator compares with, where it is not one value (docs).
_NEEDED = {
    "IN": ("values",),
    "NOT_IN": ("values",),
    "BETWEEN": ("value", "highValue"),
    "HAS_PROPERTY": (),
    "NOT_HAS_PROPERTY": (),
}

Values = Callable[[Record, str], str | None]


def search(call: PortalCall) -> Reply:
    """At most 200 a page, and nothing past the 10,000th result, whatever `total` says (docs): 400."""
    store, body = call.store, call.fields
    groups = _groups(store, body)
    limit = int_of(body.get("limit"), "limit", 10)
    after = int_of(body.get("after"), "after", 0)
    if not 0 < limit <= PAGE_MAX:
        raise errors.invalid_input(f"limit must be between 1 and {PAGE_MAX}")
    if after < 0 or after + limit > RESULTS_MAX:
        raise errors.invalid_input(f"A search gives at most {RESULTS_MAX} results")
    values = _values(call)
    found = [r for r in _candidates(call, groups) if _visible(call, r) and _matches(values, r, groups)]
    if body.get("query"):
        word = str(body["query"]).lower()
        queried = _QUERIED.get(store.type, ())
        found = [r for r in found if any(word in (values(r, n) or "").lower() for n in queried)]
    _sort(store, found, body.get("sorts") or [], values)
    page = found[after : after + limit]
    names = body.get("properties") or None
    answer: dict[str, Any] = {"total": len(found), "results": [store.show(r, names) for r in page]}
    if after + limit < len(found):
        answer["paging"] = {"next": {"after": str(after + limit)}}
    return 200, answer


def _groups(store: ObjectStore, body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """With every value in the form in which it is compared. 400 for a filter that can't be taken."""
    groups = [g.get("filters") or [] for g in body.get("filterGroups") or []]
    if len(groups) > GROUPS_MAX or any(len(g) > FILTERS_MAX for g in groups):
        raise errors.invalid_input(f"At most {GROUPS_MAX} filterGroups of {FILTERS_MAX} filters are allowed")
    if sum(map(len, groups)) > ALL_FILTERS_MAX:
        raise errors.invalid_input(f"At most {ALL_FILTERS_MAX} filters are allowed in all")
    for one in (f for g in groups for f in g):
        if one.get("propertyName") not in store.properties:
            raise errors.invalid_input(f"There was a problem with the request: no property {one.get('propertyName')}")
        if one.get("operator") not in _TESTS:
            raise errors.invalid_json(f"unknown operator {one.get('operator')}")
        for name in _NEEDED.get(one["operator"], ("value",)):
            if one.get(name) in (None, "", []):
                raise errors.invalid_input(f"operator {one['operator']} needs {name}")
    return [[_in_time(store, _led_on(store, f)) for f in g] for g in groups]


def _in_time(store: ObjectStore, filter_: dict[str, Any]) -> dict[str, Any]:
    """Times are compared as times, in milliseconds or as ISO 8601, whichever way they are written (docs)."""
    if not _is_time(store, filter_["propertyName"]):
        return filter_
    given = {n: filter_[n] for n in ("value", "highValue") if filter_.get(n) is not None}
    if filter_.get("values"):
        given["values"] = filter_["values"]
    return {**filter_, **{n: [_ms(v) for v in g] if n == "values" else _ms(g) for n, g in given.items()}}


def _is_time(store: ObjectStore, name: str) -> bool:
    return store.properties[name].type in ("date", "datetime")


def _ms(value: Any) -> str:
    moment = moment_of(str(value))
    if moment is None:
        raise errors.invalid_input(f"{value} is not a time: milliseconds since 1970 or ISO 8601")
    return str(int(moment.timestamp() * 1000))


def _led_on(store: ObjectStore, filter_: dict[str, Any]) -> dict[str, Any]:
    """The id of a record that was merged finds the one that took its place."""
    if filter_["propertyName"] != "hs_object_id" or filter_["operator"] not in ("EQ", "IN"):
        return filter_
    led = {"value": store.merged.get(str(filter_.get("value")), filter_.get("value"))}
    if filter_.get("values"):
        led["values"] = [store.merged.get(str(v), v) for v in filter_["values"]]
    return {**filter_, **led}


def _values(call: PortalCall) -> Values:
    """What search knows of a record: the present, or where it was written within the lag, the moment before. Times are
    given in milliseconds, so that they compare."""
    store, recent = call.store, call.portal.recent(call.type)
    horizon = call.portal.search_horizon_ms()

    def value(record: Record, name: str) -> str | None:
        text = then_or_now(record, name)
        return _ms(text) if text is not None and _is_time(store, name) else text

    def then_or_now(record: Record, name: str) -> str | None:
        if record.id in recent and store.is_stored(name):
            return record.value_at(name, horizon)
        return store.value(record, name)

    return value


def _visible(call: PortalCall, record: Record) -> bool:
    return not call.portal.search_lag_s or record.created_ms <= call.portal.search_horizon_ms()


def _candidates(call: PortalCall, groups: list[list[dict[str, Any]]]) -> Iterable[Record]:
    """All records, or where every group names an indexed property's value, only those."""
    store = call.store
    ids: dict[str, None] = {}
    for group in groups:
        indexed = next((f for f in group if f["operator"] in ("EQ", "IN") and _is_indexed(store, f)), None)
        if indexed is None:
            ids = {}
            break
        for value in _wanted(indexed):
            ids.update(dict.fromkeys(_lookup(store, indexed["propertyName"], value)))
    else:
        if groups:
            ids.update(dict.fromkeys(call.portal.recent(call.type)))
            return [r for r in map(store.records.get, sorted(ids, key=int)) if r is not None]
    return store.records.values()


def _is_indexed(store: ObjectStore, filter_: dict[str, Any]) -> bool:
    name = filter_["propertyName"]
    # A custom unique value is kept in its own case while search ignores case: only the index of emails agrees.
    return name in store.lookup or name in ("email", "hs_object_id")


def _lookup(store: ObjectStore, name: str, value: str) -> list[str]:
    if name == "hs_object_id":
        return [value]
    if name in store.lookup:
        return store.lookup[name].get(value, [])
    found = store.unique.get(name, {}).get(value)
    return [] if found is None else [found]


def _wanted(filter_: dict[str, Any]) -> list[str]:
    values = filter_["values"] if filter_["operator"] in ("IN", "NOT_IN") else [filter_["value"]]
    return [str(v).lower() for v in values]


def _matches(values: Values, record: Record, groups: list[list[dict[str, Any]]]) -> bool:
    return not groups or any(
        all(_TESTS[f["operator"]](values(record, f["propertyName"]), f) for f in group) for group in groups
    )


def _tokens(text: str) -> list[str]:
    return re.findall(r"[\w*]+", text.lower())


def _contains_token(value: str | None, filter_: dict[str, Any]) -> bool:
    """Whole words, `*` standing for any part of one."""
    have = _tokens(value or "")
    patterns = [re.compile(re.escape(t).replace(r"\*", ".*")) for t in _tokens(str(filter_.get("value", "")))]
    return bool(patterns) and all(any(p.fullmatch(h) for h in have) for p in patterns)


def _order(text: str) -> tuple[int, float, str]:
    """Numbers before words, so that both kinds of property compare."""
    try:
        return 0, float(text), ""
    except ValueError:
        return 1, 0.0, text.lower()


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[str | None, dict[str, Any]], bool]:
    def compare(value: str | None, filter_: dict[str, Any]) -> bool:
        return value is not None and test(_order(value), _order(str(filter_.get("value", ""))))

    return compare


_TESTS: dict[str, Callable[[str | None, dict[str, Any]], bool]] = {
    "EQ": lambda value, f: value is not None and value.lower() in _wanted(f),
    "IN": lambda value, f: value is not None and value.lower() in _wanted(f),
    "NEQ": lambda value, f: value is None or value.lower() not in _wanted(f),
    "NOT_IN": lambda value, f: value is None or value.lower() not in _wanted(f),
    "HAS_PROPERTY": lambda value, f: value is not None,
    "NOT_HAS_PROPERTY": lambda value, f: value is None,
    "CONTAINS_TOKEN": _contains_token,
    "NOT_CONTAINS_TOKEN": lambda value, f: not _contains_token(value, f),
    "LT": _compare(lambda a, b: a < b),
    "LTE": _compare(lambda a, b: a <= b),
    "GT": _compare(lambda a, b: a > b),
    "GTE": _compare(lambda a, b: a >= b),
    "BETWEEN": lambda value, f: (
        value is not None and _order(str(f.get("value"))) <= _order(value) <= _order(str(f.get("highValue")))
    ),
}


def _sort(store: ObjectStore, found: list[Record], sorts: list[Any], values: Values) -> None:
    """One rule (docs). 400 for more and for a property that there is not."""
    if len(sorts) > 1:
        raise errors.invalid_input("At most one sort is allowed")
    for sort in reversed(sorts):
        name, descending = (
            (sort, False)
            if isinstance(sort, str)
            else (
                sort.get("propertyName", ""),
                sort.get("direction") == "DESCENDING",
            )
        )
        if name not in store.properties:
            raise errors.invalid_input(f"There was a problem with the request: no property {name}")
        found.sort(key=lambda r: _order(values(r, name) or ""), reverse=descending)
