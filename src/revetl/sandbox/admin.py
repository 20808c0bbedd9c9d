"""`/_sandbox/`: what a test or a demo may see and do that no vendor offers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aiohttp import web

from revetl.sandbox.faults import Fault, FaultError
from revetl.sandbox.vendor import EditableVendor

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
        """Back to no records, no faults, no counts. `?keep=records` resets only faults and counts."""
        self._sandbox.reset(keep_records=request.query.get("keep") == "records")
        return web.Response(status=204)

    async def _edit(self, request: web.Request) -> web.Response:
        """A person edits a record at a vendor: `{"object": "contacts", "id": … | "match": {property: value},
        "properties": {…}}`. `"vendor"` says which; else it is the one that has such objects."""
        document = await _object(request)
        editable = {name: v for name, v in self._sandbox.vendors.items() if isinstance(v, EditableVendor)}
        object_ = str(document.get("object", ""))
        vendor = document.pop("vendor", None)
        if vendor is not None:
            meant = [name for name in editable if name == vendor]
        elif len(editable) == 1:
            meant = list(editable)  # it says in its own words that it has no such object
        else:
            meant = [name for name, v in editable.items() if v.has_object(object_)]
        if len(meant) != 1:
            return _json(400, {"error": f'say as "vendor" whose {object_!r}: {", ".join(meant or editable)}'})
        return _json(*editable[meant[0]].edit(document))

    async def _credits(self, request: web.Request) -> web.Response:
        """`{"vendor": "hunter", "remaining": 3}`: what is left on every key of the vendor."""
        document = await _object(request)
        bills = self._sandbox.bills
        bill = bills.get(str(document.get("vendor", "")))
        if bill is None or not isinstance(document.get("remaining"), int):
            return _json(400, {"error": f"vendor must be one of {', '.join(bills)}, remaining a number"})
        bill.set_remaining(Decimal(document["remaining"]))
        return web.Response(status=204)


def _fault_json(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in Fault.__dataclass_fields__}


def _json(status: int, body: Any) -> web.Response:
    return web.json_response(body, status=status)


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.read())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise web.HTTPBadRequest(text="a JSON object is expected")
    return document
