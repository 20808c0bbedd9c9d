"""sObject collections: up to 200 records a call, in which one bad record costs no other.

- Answers come in the order of records (docs), and of a record that was made they hold its new id alone. So what was
  made is read once more by these ids, with the field that tells records apart: an outcome is by name. Updates and
  deletes are told by the id itself. Who was refused is told by the place, once all others stand at theirs.
- A record that another transaction locks is sent again: with the other locked ones, then alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from revetl.destinations.salesforce import api
from revetl.errors import Ambiguous, CallError
from revetl.http import Response, Session, one_word
from revetl.model import Change, Outcome, Status

_ALONE = 20  # locked records that one write sends alone; the others wait for the next run
FOREIGN_KEY = "Foreign key external ID"

ReadForms = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class CollectionRoute:
    """`object`: the org's own that the records are of. `by_id`: answers name records by an id that we sent.
    `repeatable`: sent twice it makes no second record."""

    method: str
    path: str
    object: str
    by_id: bool = True
    repeatable: bool = True


@dataclass(slots=True)
class CollectionItem:
    """`form`: what the record is told by. `left_out`: fields that this operation can't set."""

    change: Change
    record: dict[str, Any]
    form: str
    left_out: list[str] = field(default_factory=list)
    outcome: Outcome | None = None

    def taken(self, id_: str, attempts: int = 1) -> None:
        self.outcome = Outcome(self.change.ordinal, Status.OK, id_, attempts=attempts)
        if self.left_out:
            self.outcome.status, self.outcome.error_code = Status.ACCEPTED, "NOT_SETTABLE"
            self.outcome.message = f"the rest is written; Salesforce lets nobody set {', '.join(self.left_out)} here"

    def refused(self, code: str, message: str, attempts: int = 1) -> None:
        self.outcome = Outcome(
            self.change.ordinal, Status.REJECTED, None, "Rejected", code, message, attempts, in_row=code in api.IN_ROW
        )

    def unknown(self, code: str | None, message: str) -> None:
        self.outcome = Outcome(self.change.ordinal, Status.UNKNOWN, None, "Ambiguous", code, message)


class CollectionWriter:
    """The calls of one `write`. What stops a later call than the first makes its records unknown."""

    def __init__(self, session: Session, read_forms: ReadForms) -> None:
        self._session, self._read_forms = session, read_forms
        self._sent = False

    async def write(self, route: CollectionRoute, items: Sequence[CollectionItem]) -> None:
        """Gives every item its outcome."""
        await self._send(route, items)
        if locked := _locked(items):
            await self._send(route, locked)
            for item in _locked(locked)[:_ALONE] if len(locked) > 1 else ():
                await self._send(route, [item])

    async def _send(self, route: CollectionRoute, items: Sequence[CollectionItem]) -> None:
        body: Any = {"allOrNone": False, "records": [i.record for i in items]}
        params: dict[str, str] = {}
        if route.method == "DELETE":
            body, params = None, {"ids": ",".join(i.form for i in items), "allOrNone": "false"}
        try:
            response = await self._session.request(
                route.method, route.path, json=body, params=params, idempotent=route.repeatable
            )
        except CallError as e:
            if not self._sent and not isinstance(e, Ambiguous):
                raise
            for item in items:
                item.unknown(e.code, str(e))
            return
        if not response.is_success:
            refusal = api.refused(self._session, response)
            if not self._sent:
                raise refusal
            for item in items:
                item.refused(str(refusal.code), str(refusal))
            return
        self._sent = True
        results = api.document(response)
        await self._answered(route, items, response, results if isinstance(results, list) else [])

    async def _answered(
        self, route: CollectionRoute, items: Sequence[CollectionItem], response: Response, results: list[Any]
    ) -> None:
        attempts: int = response.extensions["attempts"]
        made = [str(r["id"]) for r in results if isinstance(r, dict) and r.get("success") is True and r.get("id")]
        forms: Mapping[str, str] = {id_: id_ for id_ in made}
        if made and not route.by_id and items[0].form:
            try:
                forms = await self._read_forms(made)
            except CallError as e:
                for item in items:
                    item.unknown(e.code, f"written, and not read back: {e}")
                return
        elif not route.by_id:  # nothing tells them apart but the documented order
            forms = {str(r.get("id")): i.form for r, i in zip(results, items, strict=False) if isinstance(r, dict)}
        waiting: dict[str, list[CollectionItem]] = defaultdict(list)
        for item in items:
            item.outcome = None
            waiting[item.form].append(item)
        in_order = len(results) == len(items)
        for place, id_ in ((p, str(r["id"])) for p, r in enumerate(results) if isinstance(r, dict) and r.get("id")):
            if id_ not in forms or not (meant := waiting[forms[id_]]):
                in_order = False
                continue
            in_order = in_order and items[place].form == forms[id_]
            meant.pop(0).taken(id_, attempts)
        left = [i for i in items if i.outcome is None]
        errors = [r for r in results if isinstance(r, dict) and r.get("success") is not True]
        for item, result in zip(left, errors, strict=False) if in_order or len(left) == len(errors) == 1 else ():
            self._refused(route, item, response, result)
        for item in left:
            if item.outcome is None:
                item.unknown(None, "the answer does not name this record")

    def _refused(
        self, route: CollectionRoute, item: CollectionItem, response: Response, result: Mapping[str, Any]
    ) -> None:
        listed = result.get("errors")
        errors = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
        code = one_word(str((errors or [{}])[0].get("statusCode") or "")) or "UNKNOWN_ERROR"
        if route.method == "DELETE" and code in api.GONE:
            item.taken(item.form)  # as was wanted
            return
        said = "; ".join(str(e.get("message") or "") for e in errors)
        if said.startswith(FOREIGN_KEY):
            code = "PARENT_NOT_FOUND"
        named = ", ".join(str(f) for e in errors for f in e.get("fields") or () if str(f) not in said)
        item.refused(code, self._session.excerpt(response, f"{named}: {said}" if named else said))


def _locked(items: Sequence[CollectionItem]) -> list[CollectionItem]:
    return [i for i in items if i.outcome is not None and i.outcome.error_code == api.LOCKED]
