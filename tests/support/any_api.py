"""The made-up API of the sandbox as connections.yml describes it, shape by shape. Without base_url and secrets."""

from __future__ import annotations

from typing import Any

REST: dict[str, Any] = {
    "idempotency": {"header": "Idempotency-Key", "across_runs": True},
    "check": {"path": "/rest/users"},
    "status": [
        {"http": 200, "at": "/error/code", "equals": "busy", "verdict": "unavailable"},
        {"http": 409, "verdict": "exists"},
    ],
    "objects": {
        "users": {
            "create": {"method": "POST", "path": "/rest/users"},
            "update": {"method": "PATCH", "path": "/rest/users/{id}"},
            "delete": {"method": "DELETE", "path": "/rest/users/{id}", "body": "none"},
            "look_up": {"path": "/rest/users", "param": "email", "records": "/data", "by": ["email"]},
            "read_back": {"path": "/rest/users/{value}"},
            "constants": {"source": "revetl"},
        }
    },
}

BATCH: dict[str, Any] = {
    "auth": {
        "type": "oauth_client_credentials",
        "token_url": "http://127.0.0.1:1/any_api/oauth/token",
        "client_id": "revetl",
        "scopes": ["contacts.read", "contacts.write"],
    },
    "check": {"path": "/batch/contacts"},
    "objects": {
        "contacts": {
            "upsert": {
                "method": "PUT",
                "path": "/batch/contacts",
                "rows": 20,
                "at": "/contacts",
                "inside": "attributes",
                "id_as": None,
                "key_as": "reference",
                "results": {
                    "at": "/results",
                    "key": "/reference",
                    "id": "/id",
                    "code": "/error/code",
                    "message": "/error/message",
                    "verdicts": [
                        {"at": "/status", "equals": [200, 201], "verdict": "ok"},
                        {"at": "/status", "equals": 404, "verdict": "gone"},
                        {"at": "/status", "equals": 409, "verdict": "exists"},
                    ],
                    "otherwise": "rejected",
                },
            },
            "delete": {
                "method": "POST",
                "path": "/batch/contacts/delete",
                "body": "none",
                "rows": 20,
                "at": "/contacts",
                "id_as": "id",
                "results": {
                    "at": "/results",
                    "key": "/id",
                    "key_is": "id",
                    "verdicts": [
                        {"at": "/status", "equals": 204, "verdict": "ok"},
                        {"at": "/status", "equals": 404, "verdict": "gone"},
                    ],
                    "otherwise": "rejected",
                },
            },
            "look_up": {
                "path": "/batch/contacts",
                "param": "email",
                "rows": 20,
                "records": "/contacts",
                "record": "/attributes",
                "by": ["email"],
            },
            "read_back": {
                "path": "/batch/contacts",
                "param": "id",
                "rows": 20,
                "records": "/contacts",
                "record": "/attributes",
            },
        }
    },
}
BATCH["objects"]["contacts"]["update"] = {**BATCH["objects"]["contacts"]["upsert"], "id_as": "id"}
del BATCH["objects"]["contacts"]["upsert"]["id_as"]

EVENTS: dict[str, Any] = {
    "objects": {
        "events": {
            "kind": "events",
            "event_id": "event_id",
            "create": {"method": "POST", "path": "/hooks/events", "rows": 5},
        }
    },
}

_JOB = {
    "id": "/job/id",
    "path": "/batch/jobs/{job}",
    "state": "/job/status",
    "done": "done",
    "results_path": "/batch/jobs/{job}/results",
    "page": {"param": "cursor", "next": "/next"},
}


def _as_job(request: dict[str, Any], path: str) -> dict[str, Any]:
    """The same request, whose answer names a job."""
    rest = {name: value for name, value in request.items() if name != "results"}
    return {**rest, "method": "POST", "path": path, "job": {**_JOB, "results": request["results"]}}


JOBS: dict[str, Any] = {
    **BATCH,
    "objects": {
        "contacts": {
            **BATCH["objects"]["contacts"],
            "upsert": _as_job(BATCH["objects"]["contacts"]["upsert"], "/batch/jobs"),
            "update": _as_job(BATCH["objects"]["contacts"]["update"], "/batch/jobs"),
            "delete": _as_job(BATCH["objects"]["contacts"]["delete"], "/batch/jobs/delete"),
        }
    },
}
