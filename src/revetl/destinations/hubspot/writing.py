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
from collections.abc import Iterable, Sequence
from typing import Any

from revetl.destinations.hubspot import api
from revetl.destinations.hubspot.batch_items import BatchItems, BatchRoute, Item
from revetl.errors import Ambiguous, CallError
from revetl.http import Session
from revetl.model import Status

# Refusals that name a property: every input that has it fails, no other.
_OF_A_PROPERTY = {"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"}


class Writer:
    """The batches of one `write` call. Where nothing was sent yet, `Denied`, `Throttled` and `Unavailable` leave as
    they are; later they make what is left unknown, since the caller could not tell what had gone before."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sent = False
        self._stopped_by: CallError | None = None

    async def write(self, route: BatchRoute, items: Sequence[Item]) -> None:
        """Settles every item."""
        for batch in _without_twins(items):
            await self._send(route, batch)

    async def _send(self, route: BatchRoute, items: list[Item]) -> None:
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

    async def _answered(self, route: BatchRoute, items: list[Item], body: dict[str, Any], attempts: int) -> None:
        meant = BatchItems(route, items)
        unclaimed: list[Any] = []  # answers that name nobody
        again: list[tuple[Item, str]] = []
        for refusal in api.refusals(body):
            named = meant.named(refusal)
            unclaimed += [] if named else [refusal]
            for item in named:
                if refusal.code == "CONFLICT" and refusal.existing_ids and route.id_property == "email":
                    again.append((item, refusal.existing_ids[0]))
                else:
                    item.rejected(refusal, attempts)
            if not named and len(items) == 1:
                items[0].rejected(refusal, attempts)
        nameless = meant.claim(body.get("results"), attempts)
        if nameless and route.id_property:
            nameless = meant.claim(await self._read_back(route.path, route.id_property, nameless), attempts)
        await self._update_existing(route, again)
        left = [i for i in items if i.outcome is None and i not in (item for item, _ in again)]
        if left and len(items) > 1 and (unclaimed or nameless):
            # Alone, each is answered for beyond doubt.
            for item in left:
                item.sent_before = True
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

    async def _update_existing(self, route: BatchRoute, conflicts: list[tuple[Item, str]]) -> None:
        """The email came to stand there while the batch was on its way: the record is updated by its id."""
        if not conflicts:
            return
        by_id = [Item(item.change, id_, id_, item.properties, item.types) for item, id_ in conflicts]
        for batch in _without_twins(by_id):
            await self._send(BatchRoute(route.path.rpartition("/")[0] + "/update"), batch)
        for (item, _), update in zip(conflicts, by_id, strict=True):
            item.outcome = update.outcome

    async def _refused(self, route: BatchRoute, items: list[Item], refusal: api.Refusal, attempts: int) -> None:
        """Nothing of the batch was written."""
        named = BatchItems(route, items).named(refusal) if refusal.code == "OBJECT_NOT_FOUND" else []
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

    async def _halve(self, route: BatchRoute, items: list[Item], *, refused: bool = False) -> None:
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


def _input(route: BatchRoute, item: Item) -> dict[str, Any]:
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
