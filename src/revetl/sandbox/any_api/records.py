"""ApiRecords of the made-up API: strict about what a field may hold, and deduplicated by email."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

MOST_NAME = 100
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "email": str,
    "name": (str, type(None)),
    "age": (int, type(None)),
    "active": (bool, type(None)),
    "address": (dict, type(None)),
    "tags": (list, type(None)),
    "source": str,
}


class ApiRefusal(Exception):
    """What the API answers in place of a record."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message}}


class ApiRecords:
    """`rows`: id → fields."""

    def __init__(self, prefix: str) -> None:
        self._prefix, self._last = prefix, 0
        self.rows: dict[str, dict[str, Any]] = {}

    def clear(self) -> None:
        self.rows.clear()

    def by_email(self, email: object) -> str | None:
        return next((id_ for id_, row in self.rows.items() if row.get("email") == email), None)

    def shown(self, id_: str) -> dict[str, Any]:
        return {"id": id_, **self.rows[id_]}

    def create(self, fields: Mapping[str, Any]) -> str:
        checked = self._checked(fields)
        if "email" not in checked:
            raise ApiRefusal(422, "missing", "email is missing")
        if self.by_email(checked["email"]) is not None:
            raise ApiRefusal(409, "exists", "there is a record with this email")
        self._last += 1
        id_ = f"{self._prefix}{self._last}"
        self.rows[id_] = checked
        return id_

    def update(self, id_: str, fields: Mapping[str, Any]) -> None:
        if id_ not in self.rows:
            raise ApiRefusal(404, "gone", "there is no such record")
        checked = self._checked(fields)
        if "email" in checked and self.by_email(checked["email"]) not in (None, id_):
            raise ApiRefusal(409, "exists", "another record has this email")
        self.rows[id_].update(checked)

    def delete(self, id_: str) -> None:
        if self.rows.pop(id_, None) is None:
            raise ApiRefusal(404, "gone", "there is no such record")

    def _checked(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        for name, value in fields.items():
            if name not in FIELDS:
                raise ApiRefusal(422, "unknown_field", f"there is no field {name}")
            types = FIELDS[name]
            if not isinstance(value, types) or (isinstance(value, bool) and types in (int, (int, type(None)))):
                raise ApiRefusal(422, "wrong_type", f"{name} has another type")
        if "@" not in fields.get("email", "@"):
            raise ApiRefusal(422, "bad_email", "email is no address")
        if len(fields.get("name") or "") > MOST_NAME:
            raise ApiRefusal(422, "too_long", f"name has over {MOST_NAME} characters")
        return dict(fields)


async def json_of(request: web.Request, kind: type) -> Any:
    """The body. ApiRefusal where it is another kind of JSON, or none."""
    try:
        body = await request.json()
    except ValueError:
        raise ApiRefusal(400, "no_json", "the body is no JSON") from None
    if not isinstance(body, kind):
        raise ApiRefusal(400, "wrong_shape", f"the body is no {kind.__name__}")
    return body
