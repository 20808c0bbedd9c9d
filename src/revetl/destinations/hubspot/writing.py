"""Batch writes in which one bad record costs nobody else, and every record is answered for by name.

- Every input carries an `objectWriteTraceId`: without it one bad record refuses the whole batch (live).
- Results come in any order and mostly without the trace id (live): they are matched by id or by normalised value.
- Two inputs of one identity refuse the batch even so (live): they go in batches one after the other.
- A batch that is refused as a whole is halved until the culprit stands alone. All writes here are idempotent.
- What nobody answered for is unknown.
- A result that holds another value than was sent (a stage that can't go back, a calculated property) was taken and not
  applied: accepted, with the code NOT_APPLIED and what stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from revetl.destinations.base import FieldType
from revetl.destinations.hubspot import api, shapes
from revetl.destinations.hubspot.values import canonical
from revetl.errors import Ambiguous, CallError
from revetl.http import Session
from revetl.model import NOT_APPLIED, Change, Outcome, Scalar, Status

# Refusals that name a property: every input that has it fails, no other.
_OF_A_PROPERTY = {"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"}


@dataclass(frozen=True, slots=True)
class Route:
    """A batch endpoint. `id_property`: what `id` means; None for the record's own id."""

    path: str
    id_property: str | None = None
    archive: bool = False


@dataclass(slots=True)
class Item:
    """One change on its way. `form` is its identity as it is compared, `trace_id` the ordinal; `types` are those
    of its properties, where they are known."""

    change: Change
    id: str
    form: str
    properties: dict[str, str]
    types: Mapping[str, FieldType] = field(default_factory=dict)
    outcome: Outcome | None = None
    trace_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.trace_id = str(self.change.ordinal)

    def ok(self, destination_id: str, attempts: int) -> None:
        self.outcome = Outcome(self.change.ordinal, Status.OK, destination_id, attempts=attempts)

    def answered(self, result: Mapping[str, Any], attempts: int) -> None:
        """Taken; and applied, as far as the result tells: a property that it leaves out says nothing."""
        self.ok(str(result["id"]), attempts)
        stands = self._not_applied(result.get("properties"))
        if stands and self.outcome is not None:
            self.outcome.status, self.outcome.error_code = Status.ACCEPTED, NOT_APPLIED
            self.outcome.message = f"taken and not applied: {', '.join(stands)}"
            self.outcome.stands = stands

    def _not_applied(self, answered: Any) -> dict[str, Scalar]:
        """Property → what stands there in place of what was sent."""
        if not isinstance(answered, dict):
            return {}
        stands: dict[str, Scalar] = {}
        for name, sent in self.properties.items():
            there = answered.get(name, sent)
            if there == sent or not (there or sent):
                continue  # as nearly always, and cheap
            # A leading semicolon adds to what stands (docs), so the answer holds more than was sent.
            if (
                name in self.change.fields
                and not sent.startswith(";")
                and self._form(name, there) != self._form(name, sent)
            ):
                stands[name] = there or None
        return stands

    def _form(self, name: str, value: Any) -> str:
        """Without outer blanks: whether the vendor keeps them is not known, and nobody means them."""
        return canonical(name, "" if value is None else str(value), self.types.get(name)).strip()

    def rejected(self, refusal: api.Refusal, attempts: int = 1) -> None:
        self.outcome = _outcome(self.change, Status.REJECTED, "Rejected", refusal.code, refusal.message, attempts)

    def unknown(self, error: CallError | None = None) -> None:
        if error is None:
            self.outcome = _outcome(
                self.change, Status.UNKNOWN, "Unanswered", None, "the batch's answer does not name this record", 1
            )
        else:
            kind = type(error).__name__
            self.outcome = _outcome(self.change, Status.UNKNOWN, kind, error.code, str(error), 1)


class Writer:
    """The batches of one `write` call. Where nothing was sent yet, `Denied`, `Throttled` and `Unavailable` leave as
    they are; later they make what is left unknown, since the caller could not tell what had gone before."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sent = False
        self._stopped_by: CallError | None = None

    async def write(self, route: Route, items: Sequence[Item]) -> None:
        """Settles every item."""
        for batch in _without_twins(items):
            await self._send(route, batch)

    async def _send(self, route: Route, items: list[Item]) -> None:
        if not items:
            return
        if self._stopped_by is not None:
            _all_unknown(items, self._stopped_by)
            return
        body = {"inputs": [_input(route, item) for item in items]}
        try:
            response = await self._session.request("POST", route.path, json=body, idempotent=True)
        except Ambiguous as e:
            self._sent = True
            _all_unknown(items, e)
            return
        except CallError as e:
            if not self._sent:
                raise
            self._stopped_by = e
            _all_unknown(items, e)
            return
        self._sent = True
        attempts: int = response.extensions["attempts"]
        if not response.is_success:
            await self._refused(route, items, api.refusal(api.body_of(response)), attempts)
        elif route.archive:
            # 204, also for what is archived already.
            for item in items:
                item.ok(item.id, attempts)
        else:
            await self._answered(route, items, api.body_of(response), attempts)

    async def _answered(self, route: Route, items: list[Item], body: dict[str, Any], attempts: int) -> None:
        book = _Book(route, items)
        unclaimed: list[Any] = []  # answers that name nobody
        again: list[tuple[Item, str]] = []
        for refusal in api.refusals(body):
            named = book.named(refusal)
            unclaimed += [] if named else [refusal]
            for item in named:
                if refusal.code == "CONFLICT" and refusal.existing_ids and route.id_property == "email":
                    again.append((item, refusal.existing_ids[0]))
                else:
                    item.rejected(refusal, attempts)
            if not named and len(items) == 1:
                items[0].rejected(refusal, attempts)
        nameless = book.claim(body.get("results"), attempts)
        if nameless and route.id_property:
            nameless = book.claim(await self._read_back(route.path, route.id_property, nameless), attempts)
        await self._update_existing(route, again)
        left = [i for i in items if i.outcome is None and i not in (item for item, _ in again)]
        if left and len(items) > 1 and (unclaimed or nameless):
            # Alone, each is answered for beyond doubt.
            await self._halve(route, left)
            return
        for item in left:
            item.unknown()

    async def _read_back(self, path: str, id_property: str, results: Sequence[Any]) -> list[Any]:
        """The same records with the property that names them, where the write's answer left it out; as given where they
        can't be read."""
        ids = [str(r["id"]) for r in results if isinstance(r, dict) and r.get("id")]
        if not ids:
            return list(results)
        body = api.batch_read(ids, [id_property, "hs_additional_emails"])
        path = path.rpartition("/")[0] + "/read"
        try:
            response = await self._session.request("POST", path, json=body, idempotent=True)
        except CallError as e:
            self._stopped_by = e
            return list(results)
        found = api.body_of(response).get("results") if response.is_success else None
        return found if isinstance(found, list) and found else list(results)

    async def _update_existing(self, route: Route, conflicts: list[tuple[Item, str]]) -> None:
        """The email came to stand there while the batch was on its way: the record is updated by its id."""
        if not conflicts:
            return
        by_id = [Item(item.change, id_, id_, item.properties, item.types) for item, id_ in conflicts]
        for batch in _without_twins(by_id):
            await self._send(Route(route.path.rpartition("/")[0] + "/update"), batch)
        for (item, _), update in zip(conflicts, by_id, strict=True):
            item.outcome = update.outcome

    async def _refused(self, route: Route, items: list[Item], refusal: api.Refusal, attempts: int) -> None:
        """Nothing of the batch was written."""
        named = _Book(route, items).named(refusal) if refusal.code == "OBJECT_NOT_FOUND" else []
        if refusal.code in _OF_A_PROPERTY:
            named = [i for i in items if not i.properties.keys().isdisjoint(refusal.properties)]
        if len(items) == 1:
            named = items
        if not named:
            await self._halve(route, items, refused=True)
            return
        for item in named:
            item.rejected(refusal, attempts)
        await self._send(route, [i for i in items if i.outcome is None])

    async def _halve(self, route: Route, items: list[Item], *, refused: bool = False) -> None:
        """`refused`: something among these is bad. If it is not in the first half it is in the second, which then need
        not be sent whole to know it."""
        half = (len(items) + 1) // 2
        first, second = items[:half], items[half:]
        await self._send(route, first)
        innocent = all(i.outcome is not None and i.outcome.status in (Status.OK, Status.ACCEPTED) for i in first)
        if refused and innocent and len(second) > 1:
            await self._halve(route, second, refused=True)
        else:
            await self._send(route, second)


class _Book:
    """Who of a batch is meant by an answer."""

    def __init__(self, route: Route, items: Sequence[Item]) -> None:
        self._route = route
        self._items = items
        self._by_trace = {item.trace_id: item for item in items}
        self._by_form = {item.form: item for item in items}

    def claim(self, results: Any, attempts: int) -> list[Any]:
        """Settles whom the results name; returns those that name nobody."""
        nameless = []
        for result in results if isinstance(results, list) else []:
            item = self._of(result)
            if item is None:
                nameless.append(result)
            elif item.outcome is None:
                item.answered(result, attempts)
        return nameless

    def _of(self, result: Any) -> Item | None:
        """None where it can't be told, or where the result has no id to remember."""
        if not isinstance(result, dict) or not shapes.is_id(result.get("id")):
            return None
        traced = self._by_trace.get(str(result.get("objectWriteTraceId")))
        if traced is not None:
            return traced
        if len(self._items) == 1:
            return self._items[0]
        for form in self._forms(result):
            if form in self._by_form:
                return self._by_form[form]
        return None

    def _forms(self, result: dict[str, Any]) -> Iterable[str]:
        name = self._route.id_property
        if name is None:
            return [str(result["id"])]
        properties = result.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        forms = [canonical(name, str(properties.get(name) or ""))]
        if name == "email":
            forms += canonical("hs_additional_emails", str(properties.get("hs_additional_emails") or "")).split(";")
        return forms

    def named(self, refusal: api.Refusal) -> list[Item]:
        items = [self._by_trace[t] for t in refusal.trace_ids if t in self._by_trace]
        if not items:
            forms = (canonical(self._route.id_property or "", i) for i in refusal.ids)
            items = [self._by_form[f] for f in forms if f in self._by_form]
        return items


def _input(route: Route, item: Item) -> dict[str, Any]:
    if route.archive:
        return {"id": item.id}
    body = {"id": item.id, "properties": item.properties, "objectWriteTraceId": item.trace_id}
    return body | {"idProperty": route.id_property} if route.id_property else body


def _without_twins(items: Sequence[Item]) -> list[list[Item]]:
    """Batches in which no identity stands twice, the order of equal ones kept."""
    batches: list[list[Item]] = []
    seen: dict[str, int] = defaultdict(int)
    for item in items:
        turn = seen[item.form]
        seen[item.form] += 1
        if turn == len(batches):
            batches.append([])
        batches[turn].append(item)
    return batches


def _all_unknown(items: Iterable[Item], error: CallError) -> None:
    for item in items:
        item.unknown(error)


def _outcome(change: Change, status: Status, kind: str, code: str | None, message: str, attempts: int) -> Outcome:
    return Outcome(change.ordinal, status, change.destination_id, kind, code, message, attempts)
