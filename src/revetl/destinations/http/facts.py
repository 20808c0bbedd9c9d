"""What the generated page of destinations says of an API that is described in connections.yml."""

from revetl.destinations.facts import ConnectorFacts, ConnectorForm

_PUT = {"method": "PUT", "path": "/contacts/{email}"}
_POST = {"method": "POST", "path": "/contacts"}
_READ = {"path": "/contacts/{value}"}
_FIND = {"path": "/contacts", "param": "email", "records": "/data", "by": ["email"]}
_JOB = {"id": "/job/id", "path": "/jobs/{job}", "state": "/job/state", "done": "done"}
_RESULTS = {"at": "/results", "key": "/ref", "id": "/id"}
_PUSH = {"method": "POST", "path": "/contacts/bulk", "rows": 100, "key_as": "ref", "job": {**_JOB, "results": _RESULTS}}
_BASE = {"base_url": "https://api.example.com"}

FACTS = ConnectorFacts(
    title="Any HTTP API",
    says="an API that you describe",
    guide="guides/connect-any-api.md",
    design="design/http-destination.md",
    assumed="What is assumed",
    pace="as `rate` says",
    forms=(
        ConnectorForm(
            "with `look_up` and `read_back`",
            {**_BASE, "objects": {"contacts": {"create": _POST, "update": _PUT, "look_up": _FIND, "read_back": _READ}}},
            {"create": "once, looked for", "update and delete": "once, repeated"},
        ),
        ConnectorForm(
            "write-only, with `upsert`",
            {**_BASE, "objects": {"contacts": {"upsert": _PUT}}},
            {"upsert and delete": "once, repeated"},
        ),
        ConnectorForm(
            "write-only, with `create`",
            {**_BASE, "objects": {"contacts": {"create": _POST, "update": _PUT}}},
            {"create": "at most once", "create, idempotency keys `across_runs`": "once, repeated"},
        ),
        ConnectorForm(
            "`upsert` as a `job`",
            {**_BASE, "objects": {"contacts": {"upsert": _PUSH, "look_up": _FIND, "read_back": _READ}}},
            {"upsert": "once, repeated"},
        ),
        ConnectorForm(
            "events with an `event_id`",
            {**_BASE, "objects": {"events": {"kind": "events", "event_id": "event_id", "create": _POST}}},
            {"create": "once, repeated"},
            object="events",
            events=True,
        ),
    ),
)
