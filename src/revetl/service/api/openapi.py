"""The OpenAPI 3.1 document of `/v1`, made from the table of routes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from revetl import __version__
from revetl.service.api.routes import ROUTES, ApiRoute
from revetl.service.problems import MEDIA_TYPE, PROBLEMS

_TEMPLATE = "#/components/schemas/{model}"
_PATH_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
_OF_EVERY = (
    "no-token",
    "not-allowed",
    "not-found",
    "address-too-long",
    "invalid",
    "too-many-requests",
    "warehouse-busy",
)
_OF_A_BODY = ("bad-request", "too-large", "wrong-media-type")
_OF_AN_ACT = ("own-plan",)


def document(routes: Sequence[ApiRoute] = ROUTES) -> dict[str, Any]:
    """Plain values; a new one each time."""
    models: list[type[BaseModel]] = [
        *dict.fromkeys(m for route in routes for m in (route.body, route.answer) if m is not None)
    ]
    validation = {r.body for r in routes}
    _, found = models_json_schema(
        [(m, "validation" if m in validation else "serialization") for m in models], ref_template=_TEMPLATE
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "revetl",
            "version": __version__,
            "description": "Syncs, runs, plans and acts of one project. docs/design/service.md",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`revetl token create`"}},
            "schemas": {**found.get("$defs", {}), "ProblemDetails": _problem()},
        },
    }


def _operation(route: ApiRoute) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_TEXT}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    schema = route.query.model_json_schema(ref_template=_TEMPLATE)
    for name, each in schema.get("properties", {}).items():
        # In an address nothing can be null: what may be left out is left out.
        kinds = [kind for kind in each.pop("anyOf", []) if kind != {"type": "null"}]
        plain = {k: v for k, v in each.items() if k not in ("title", "description", "default")}
        parameter = {"name": name, "in": "query", "required": False, "schema": {**plain, **(kinds[0] if kinds else {})}}
        parameters.append(parameter | ({"description": each["description"]} if "description" in each else {}))
    if route.act:
        parameters += [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": "A text of your own for this one act: the same again gives the same operation.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
            },
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "description": "`wait=10`: answer when it has ended, or after 10 seconds (at most 30).",
                "schema": {"type": "string"},  # what is not understood of it is left alone: RFC 7240
            },
        ]
    answered = {"application/json": {"schema": {"$ref": _TEMPLATE.format(model=route.answer.__name__)}}}
    responses: dict[str, Any] = {str(route.status): {"description": "As asked.", "content": answered}}
    if route.act:
        responses["200"] = {"description": "It has ended.", "content": answered}
    slugs = [*_OF_EVERY, *(_OF_A_BODY if route.body else ()), *(_OF_AN_ACT if route.method == "POST" else ())]
    for slug in slugs:
        status, title = PROBLEMS[slug]
        content = {MEDIA_TYPE: {"schema": {"$ref": _TEMPLATE.format(model="ProblemDetails")}}}
        responses[str(status)] = {"description": title, "content": content}
    operation: dict[str, Any] = {
        "operationId": route.handler,
        "summary": route.summary,
        "description": f"Needs the right to {route.right}.",
        "parameters": parameters,
        "responses": dict(sorted(responses.items())),
    }
    if route.deprecated is not None:
        operation["deprecated"] = True
    if route.body is not None:
        schema_of_body = {"$ref": _TEMPLATE.format(model=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema_of_body}}}
    return operation


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "enum": [f"urn:revetl:problem:{slug}" for slug in PROBLEMS]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    }
