"""`/_sandbox/`: what a test or a demo may see and do that no vendor offers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aiohttp import web

from revetl.sandbox.faults import Fault, FaultError
from revetl.sandbox.hubspot.app import answer
from revetl.sandbox.hubspot.errors import ApiError
from revetl.sandbox.hubspot.portal import canonical_type
from revetl.sandbox.hubspot.store import HUMAN

if TYPE_CHECKING:
    from revetl.sandbox.server import Sandbox


class Admin:
    """Needs no credentials: the sandbox listens on loopback."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/_sandbox/ready", self._ready)
        app.router.add_get("/_sandbox/stats", self._stats)
        app.router.add_get("/_sandbox/invoice", self._invoice)
        app.router.add_get("/_sandbox/faults", self._list_faults)
        app.router.add_post("/_sandbox/faults", self._add_fault)
        app.router.add_delete("/_sandbox/faults", self._clear_faults)
        app.router.add_post("/_sandbox/reset", self._reset)
        app.router.add_post("/_sandbox/edit", self._edit)
        app.router.add_post("/_sandbox/credits", self._credits)

    async def _ready(self, request: web.Request) -> web.Response:
        return _json(200, {"status": "ready"})

    async def _stats(self, request: web.Request) -> web.Response:
        """`?calls=1`: with every call that a vendor took."""
        return _json(200, self._sandbox.stats(calls=request.query.get("calls") == "1"))

    async def _invoice(self, request: web.Request) -> web.Response:
        """What the vendors charge, line by line; `?vendor=` for one of them. Amounts are text, so that they add up."""
        rows = self._sandbox.invoice(request.query.get("vendor"))
        total = sum((Decimal(row["usd"]) for row in rows), Decimal(0))
        return _json(200, {"rows": rows, "total_usd": str(total)})

    async def _list_faults(self, request: web.Request) -> web.Response:
        return _json(200, {"faults": [_fault_json(f) for f in self._sandbox.faults.active]})

    async def _add_fault(self, request: web.Request) -> web.Response:
        """One fault, or `{"faults": [...]}`."""
        document = await _object(request)
        asked = document.get("faults", [document])
        try:
            faults = [Fault.parse(f) for f in asked]
        except (FaultError, TypeError) as e:
            return _json(400, {"error": str(e)})
        for fault in faults:
            self._sandbox.faults.add(fault)
        return _json(201, {"faults": [_fault_json(f) for f in faults]})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._sandbox.faults.clear()
        return web.Response(status=204)

    async def _reset(self, request: web.Request) -> web.Response:
        """Back to an empty portal, no faults, no counts. `?keep=records` resets only faults and counts."""
        self._sandbox.reset(keep_records=request.query.get("keep") == "records")
        return web.Response(status=204)

    async def _edit(self, request: web.Request) -> web.Response:
        """A person edits a record in HubSpot: `{"object": "contacts", "id": … | "match": {property: value},
        "properties": {…}}`. Goes into the history as the user interface, not as an integration."""
        document = await _object(request)
        portal = self._sandbox.portal
        try:
            store = portal.store(canonical_type(str(document.get("object", ""))))
            match = document.get("match") or {}
            record = store.get(str(document["id"])) if "id" in document else None
            if record is None and match:
                wanted = [(n, str(v).lower()) for n, v in match.items()]
                everyone = store.records.values()
                record = next(
                    (r for r in everyone if all((store.value(r, n) or "").lower() == v for n, v in wanted)), None
                )
            if record is None:
                return _json(404, {"error": "no such record"})
            values = store.prepare(document.get("properties", {}), record)
            store.check_unique(values, record, {})
        except ApiError as e:
            return _json(e.status, e.body())
        portal.update(store, record, values, portal.now_ms(), HUMAN)
        return _json(200, store.show_written(record, values))

    async def _credits(self, request: web.Request) -> web.Response:
        """`{"vendor": "hunter", "remaining": 3}`: what is left on every key of the vendor."""
        document = await _object(request)
        bill = self._sandbox.bills.get(str(document.get("vendor", "")))
        if bill is None or not isinstance(document.get("remaining"), int):
            return _json(400, {"error": f"vendor must be one of {', '.join(self._sandbox.bills)}, remaining a number"})
        bill.set_remaining(Decimal(document["remaining"]))
        return web.Response(status=204)


def _fault_json(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in Fault.__dataclass_fields__}


def _json(status: int, body: Any) -> web.Response:
    return answer(status, body, {})


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.read())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise web.HTTPBadRequest(text="a JSON object is expected")
    return document
