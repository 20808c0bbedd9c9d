"""Whether an answer to a read is built as HubSpot documents it, as far as we rely on it.

Only what stands there is looked at: any part may be absent or null, and parts that we do not know may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_Check = Callable[[Any], bool]


def is_as_documented(body: Mapping[str, Any]) -> bool:
    """`body` of a GET, a batch read or a search."""
    return _matches(body, _BODY)


def lists_types(body: Mapping[str, Any]) -> bool:
    """Whether this is a list of the types that an account defined."""
    return _matches(body, {"results": _each(_object({"objectTypeId": _is_text, "name": _is_text}))})


def names_lists_or_members(body: Mapping[str, Any]) -> bool:
    """Of a search for lists, each list is named; of a read of memberships, each record and the lists that it is on."""
    if "lists" in body:
        return _each(lambda one: isinstance(one, dict) and is_id(one.get("listId")))(body["lists"])
    return _each(lambda one: isinstance(one, dict) and is_id(one.get("recordId")) and _matches(one, _MEMBER))(
        body.get("results")
    )


def names_its_results(body: Mapping[str, Any]) -> bool:
    """Whether each result of a batch read or a search says which record it is of."""
    results = body.get("results")
    return isinstance(results, list) and all(is_id(r.get("id") or (r.get("from") or {}).get("id")) for r in results)


def is_id(value: Any) -> bool:
    """Whether this can be a record's id: a text (docs), or a number."""
    return _is_name(value) and bool(value)


def _matches(value: Any, checks: Mapping[str, _Check]) -> bool:
    return isinstance(value, dict) and all(
        name not in value or value[name] is None or check(value[name]) for name, check in checks.items()
    )


def _each(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _object(checks: Mapping[str, _Check]) -> _Check:
    return lambda value: _matches(value, checks)


def _is_name(value: Any) -> bool:
    """An id, a cursor, a name: text, or a whole number."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _holds_values(value: Any) -> bool:
    """Properties: texts by name (docs); other scalars have been seen."""
    return isinstance(value, dict) and all(map(_is_scalar, value.values()))


_MEMBER = {"recordListMemberships": _each(lambda on: isinstance(on, dict) and is_id(on.get("listId")))}
_NEXT = {"next": _object({"after": _is_name})}
_LINKED = {"toObjectId": _is_name, "associationTypes": _each(_object({"typeId": _is_count}))}
_RESULT: Mapping[str, _Check] = {
    # of a record
    "id": _is_name,
    "properties": _holds_values,
    "createdAt": _is_scalar,
    # of a property
    "name": _is_text,
    "groupName": _is_text,
    "type": _is_text,
    "fieldType": _is_text,
    "options": _each(_object({"value": _is_scalar})),
    # of a link, or of a kind of link
    "from": _object({"id": _is_name}),
    "to": _each(_object(_LINKED)),
    "paging": _object(_NEXT),
    "typeId": _is_count,
    "category": _is_text,
}
_BODY: Mapping[str, _Check] = {
    "results": _each(_object(_RESULT)),
    "total": _is_count,
    "paging": _object(_NEXT),
    "portalId": _is_count,
}
