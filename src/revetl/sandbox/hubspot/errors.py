"""The bodies HubSpot refuses with. Shapes are captured traffic unless a docstring says otherwise."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from revetl.sandbox.hubspot.object_types import title, type_id


class ApiError(Exception):
    """One refusal. `body` lacks only what a whole answer adds: `status` and `correlationId`."""

    def __init__(self, status: int, category: str | None, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.category = category
        self.message = message
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """As the answer to a whole request."""
        whole: dict[str, Any] = {"status": "error", "message": self.message, "correlationId": str(uuid.uuid4())}
        whole.update(self.extra)
        if self.category is not None:  # a 429 has none
            whole["category"] = self.category
        return whole

    def in_batch(self, trace_id: str | None) -> dict[str, Any]:
        """As one of `errors[]` of a 207, which omits `errors`, `links` and the correlation id (captured)."""
        context: dict[str, list[str]] = {}
        if trace_id is not None:
            context["objectWriteTraceId"] = [trace_id]
        context.update(self.extra.get("context", {}))
        item: dict[str, Any] = {"status": "error", "category": self.category, "message": self.message}
        if "subCategory" in self.extra:
            item["subCategory"] = self.extra["subCategory"]
        if context:
            item["context"] = context
        return item


def invalid_input(message: str) -> ApiError:
    return ApiError(400, "VALIDATION_ERROR", message)


def invalid_json(message: str) -> ApiError:
    """Wording unconfirmed."""
    return ApiError(400, "VALIDATION_ERROR", f"Invalid input JSON: {message}")


def property_problem(name: str, code: str, message: str) -> dict[str, Any]:
    return {"isValid": False, "message": message, "error": code, "name": name}


def invalid_properties(problems: Sequence[Mapping[str, Any]]) -> ApiError:
    """The message embeds a JSON array of all problems (captured)."""
    return ApiError(
        400,
        "VALIDATION_ERROR",
        f"Property values were not valid: {json.dumps(problems, separators=(',', ':'))}",
        errors=[
            {"message": p["message"], "code": p["error"], "context": {"propertyName": [p["name"]]}} for p in problems
        ],
    )


def already_exists(object_type: str, existing_id: str) -> ApiError:
    message = f"{title(object_type)} already exists. Existing ID: {existing_id}"
    return _Conflict(message, existing_id)


class _Conflict(ApiError):
    """A single create says the existing id only in its message; a batch has it in the context too (captured)."""

    def __init__(self, message: str, existing_id: str) -> None:
        super().__init__(409, "CONFLICT", message)
        self._existing_id = existing_id

    def in_batch(self, trace_id: str | None) -> dict[str, Any]:
        item = super().in_batch(trace_id)
        item.setdefault("context", {})["existingId"] = [self._existing_id]
        return item


def unique_taken(object_type: str, name: str, value: str, record_id: str | None, holder: str) -> ApiError:
    """Wording from third parties' reports."""
    message = (
        f"Cannot set PropertyValueCoordinates{{portalId=1, objectTypeId={type_id(object_type)}, "
        f"objectId={record_id or 0}, propertyName={name}, value={value}}} on {record_id or 'a new object'}. "
        f"{holder} already has that value."
    )
    return ApiError(
        400,
        "VALIDATION_ERROR",
        message,
        errors=[{"message": message, "code": "CONFLICTING_UNIQUE_VALUE", "context": {"propertyName": [name]}}],
    )


def objects_not_found(object_type: str, ids: Sequence[str]) -> ApiError:
    some = f"Could not get some {title(object_type).upper()} objects"
    return ApiError(
        404,
        "OBJECT_NOT_FOUND",
        f"{some}, they may be deleted or not exist. Check that ids are valid.",
        context={"ids": list(ids)},
    )


def object_not_found(identifier: str) -> ApiError:
    """Wording from the vendor's pages."""
    return ApiError(404, "OBJECT_NOT_FOUND", f"Object not found.  objectId are usually numeric. ({identifier})")


def duplicate_ids(ids: Sequence[str]) -> ApiError:
    return ApiError(
        400,
        "VALIDATION_ERROR",
        f"Duplicate IDs found in batch input: [{', '.join(ids)}]. IDs must be unique",
        context={"ids": list(ids)},
    )


def non_unique_id_property(object_type: str, name: str) -> ApiError:
    message = f"Unable to perform update/upsert by non-unique {type_id(object_type)} property {name}"
    return ApiError(400, "VALIDATION_ERROR", message)


def unknown_type(name: str) -> ApiError:
    """No category (measured on the live API by a third party in 2026). It is found before the scopes are looked at."""
    if name[:1].isdigit():
        return ApiError(400, None, f"Invalid object or event type id: {name}")
    return ApiError(400, None, f"Unable to infer object type from: {name}")


def not_found(message: str = "resource not found") -> ApiError:
    """An address, or one thing of the account's settings, that is not there. Wording from third parties' recordings."""
    return ApiError(404, "OBJECT_NOT_FOUND", message)


def unauthenticated() -> ApiError:
    """Wording from the vendor's pages."""
    return ApiError(
        401,
        "INVALID_AUTHENTICATION",
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more "
        "details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
    )


def expired(at: str) -> ApiError:
    return ApiError(
        401,
        "EXPIRED_AUTHENTICATION",
        "The OAuth token used to make this call expired 0 second(s) ago.",
        context={"expire time": [at]},
    )


def missing_scopes(scopes: Sequence[str]) -> ApiError:
    """Any one of `scopes` would do (captured)."""
    return ApiError(
        403,
        "MISSING_SCOPES",
        "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: "
        "https://developers.hubspot.com/scopes.",
        errors=[
            {
                "message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": list(scopes)},
            }
        ],
        links={"scopes": "https://developers.hubspot.com/scopes"},
    )


def throttled(policy: str) -> ApiError:
    """`policy`: TEN_SECONDLY_ROLLING, SECONDLY (search) or DAILY. No category and no Retry-After (captured)."""
    message = (
        "You have reached your daily limit." if policy == "DAILY" else f"You have reached your {policy.lower()} limit."
    )
    return ApiError(429, None, message, errorType="RATE_LIMIT", policyName=policy, requestId=str(uuid.uuid4()))


def property_exists(name: str) -> ApiError:
    return ApiError(
        409,
        "OBJECT_ALREADY_EXISTS",
        f"A property named '{name}' already exists.",
        subCategory="Properties.PROPERTY_WITH_NAME_EXISTS",
    )


def property_missing(name: str) -> ApiError:
    return ApiError(404, "OBJECT_NOT_FOUND", f"Property '{name}' does not exist", subCategory="PROPERTY_DOESNT_EXIST")


def group_exists(name: str) -> ApiError:
    """Wording unconfirmed."""
    return ApiError(409, "OBJECT_ALREADY_EXISTS", f"A property group named '{name}' already exists.")
