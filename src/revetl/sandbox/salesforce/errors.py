"""How Salesforce says no: a list at the top of an answer, and a list in the result of each record."""

from __future__ import annotations

from typing import Any


class SalesforceRefusal(Exception):
    """The whole request is refused: `[{message, errorCode, fields?}]` (docs)."""

    def __init__(self, status: int, code: str, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, fields

    def body(self) -> list[dict[str, Any]]:
        error: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        return [error | {"fields": [*self.fields]} if self.fields else error]


class RecordRefusal(Exception):
    """One record is refused: `{statusCode, message, fields}` in its result (docs)."""

    def __init__(self, code: str, message: str, *fields: str) -> None:
        super().__init__(message)
        self.code, self.message, self.fields = code, message, fields

    def error(self) -> dict[str, Any]:
        return {"statusCode": self.code, "message": self.message, "fields": [*self.fields]}

    def whole(self) -> SalesforceRefusal:
        """As an endpoint of single records says it: 404 for what is gone or never was, else 400 (docs)."""
        status = 404 if self.code in ("ENTITY_IS_DELETED", "NOT_FOUND") else 400
        return SalesforceRefusal(status, self.code, self.message, self.fields)


def not_found() -> SalesforceRefusal:
    return SalesforceRefusal(404, "NOT_FOUND", "The requested resource does not exist")


def malformed(message: str) -> SalesforceRefusal:
    return SalesforceRefusal(400, "JSON_PARSER_ERROR", message)
