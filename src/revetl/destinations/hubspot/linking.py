"""Links between records: v4 associations. Making a link that stands and removing one that doesn't change nothing, so
every request may be repeated.

Every pair that is linked has the link without a label, whatever labels it has beside it (docs). `batch/archive` takes
a pair with all its labels, `batch/labels/archive` one label: so a pair is read before anything of it is removed, and
goes as a whole only where nothing is left on it but what came with our own kind.

What the vendor's answers look like beyond its specification is not confirmed, so nobody is taken for done unless a
result names the pair, and a batch that leaves pairs unnamed is halved until each stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from revetl.destinations.base import Pair
from revetl.destinations.capabilities import LinkedRecords
from revetl.destinations.hubspot import api
from revetl.destinations.hubspot.paging import Pages
from revetl.errors import Ambiguous, ConfigError
from revetl.http import Response, Session
from revetl.model import Outcome, Status

KEPT = "somebody's label stands on this pair, so its link stays"

VENDORS, PRIMARY = "HUBSPOT_DEFINED", "Primary"
# The primary company of a contact, a deal, a ticket, and the parent of a company: making one takes it off the earlier
# (docs; of the parent: hubspot-api-php issue 254). Labels are not to be relied on, type ids are (vendor's changelog).
_HELD_ONCE = frozenset({1, 5, 26, 14})

CREATE_ROWS = 2_000  # docs
ARCHIVE_ROWS = 100  # docs
READ_ROWS = 1_000  # docs


@dataclass(frozen=True, slots=True)
class LinkKinds:
    """The types of link from one object to another. `categories`: type id → category. `plain`: the one without a
    label, which every linked pair has; None where the portal names none. `held_once`: HubSpot's own that a record has
    at most once. A label of the portal's own may have the id of one of HubSpot's (reported): then HubSpot's is meant by
    that id, and the other can't be named."""

    categories: Mapping[int, str]
    plain: int | None
    held_once: frozenset[int] = frozenset()

    def category(self, type_: int) -> str:
        return self.categories.get(type_, VENDORS)


class Linker:
    """Links from one object to another: those below `path`, which messages call `pair`. Safe to use for several
    calls at once."""

    def __init__(self, session: Session, path: str, pair: str) -> None:
        self._session = session
        self._path = path
        self._pair = pair

    async def kinds(self) -> LinkKinds:
        """As the portal has them: its own labels too. ConfigError where there are none."""
        response = await self._session.request("GET", f"{self._path}/labels", idempotent=True)
        results = api.body_of(response).get("results")
        if not response.is_success or not isinstance(results, list):
            raise ConfigError(f"{self._session.name} has no links {self._pair}: {api.error_code(response)}")
        found = [r for r in results if isinstance(r.get("typeId"), int)]
        labels = {int(r["typeId"]): r.get("label") for r in found if _category(r) == VENDORS}
        categories = {int(r["typeId"]): _category(r) for r in found} | dict.fromkeys(labels, VENDORS)
        plain = [type_ for type_, label in labels.items() if not label]
        held_once = {type_ for type_, label in labels.items() if type_ in _HELD_ONCE or label == PRIMARY}
        return LinkKinds(categories, plain[0] if len(plain) == 1 else None, frozenset(held_once))

    async def link(self, type_: int, category: str, pairs: Sequence[Pair]) -> list[Outcome]:
        types = [{"associationCategory": category, "associationTypeId": type_}]
        return await self._send("create", pairs, {"types": types})

    async def unlink(self, type_: int, kinds: LinkKinds, pairs: Sequence[Pair]) -> list[Outcome]:
        """Takes this type off the pairs, by what stands on each now. A pair goes whole where nothing but the plain link
        would be left and that is ours: it was asked for, or nothing tied the two before us (`alone`)."""
        standing = await self.standing(list(dict.fromkeys(p.from_id for p in pairs)), kinds)
        done, whole, labels = list[Outcome](), list[Pair](), list[Pair]()
        for pair in pairs:
            stands = standing.get(pair.from_id, {}).get(pair.to_id, frozenset())
            left = {kind for kind in stands if kind not in (type_, kinds.plain)}
            if stands and not left and (pair.alone or type_ == kinds.plain or kinds.plain not in stands):
                whole.append(pair)
            elif type_ in stands and type_ != kinds.plain:
                labels.append(pair)
            else:  # nothing of ours is there to remove
                kept = KEPT if type_ in stands else None
                done.append(Outcome(pair.ordinal, Status.OK, pair.from_id, message=kept))
        if whole:
            done += await self._send("archive", whole, None)
        if labels:
            spec = {"associationCategory": kinds.category(type_), "associationTypeId": type_}
            done += await self._send("labels/archive", labels, {"types": [spec]})
        return done

    async def standing(self, ids: Sequence[str], kinds: LinkKinds | None) -> dict[str, LinkedRecords]:
        """Whom each record is linked to, and by which types; those without a link are absent. A label that has the id
        of one of HubSpot's stands as the negative of it. A record with more links than one answer holds is asked for
        page by page."""
        found = await self._read([{"id": id_} for id_ in ids], kinds.categories if kinds else {})
        return {id_: {other: frozenset(types) for other, types in others.items()} for id_, others in found.items()}

    async def _read(
        self, inputs: list[dict[str, str]], categories: Mapping[int, str]
    ) -> dict[str, dict[str, set[int]]]:
        found: dict[str, dict[str, set[int]]] = {}
        pages = {i["id"]: Pages(f"{self._session.name}: the links {self._pair} of {i['id']}") for i in inputs}
        while inputs:
            response = await self._session.request(
                "POST", f"{self._path}/batch/read", json={"inputs": inputs}, idempotent=True
            )
            results = api.body_of(response).get("results")
            if not response.is_success or not isinstance(results, list):
                raise ConfigError(f"{self._session.name}: links {self._pair} can't be read: {api.error_code(response)}")
            inputs = []
            for result in results:
                from_id = str((result.get("from") or {}).get("id"))
                if from_id not in pages:
                    continue  # nobody asked for it
                others = found.setdefault(from_id, {})
                for other in api.listed(result.get("to")):
                    if isinstance(other, dict):
                        others.setdefault(str(other.get("toObjectId")), set()).update(_types_of(other, categories))
                if after := pages[from_id].next_after(result):
                    inputs.append({"id": from_id, "after": after})
        return found

    async def _send(self, action: str, pairs: Sequence[Pair], more: dict[str, Any] | None) -> list[Outcome]:
        inputs = [_input(pair, more) for pair in pairs]
        try:
            response = await self._session.request(
                "POST", f"{self._path}/batch/{action}", json={"inputs": inputs}, idempotent=True
            )
        except Ambiguous as e:
            return [Outcome(p.ordinal, Status.UNKNOWN, p.from_id, "Ambiguous", e.code, str(e)) for p in pairs]
        settled = _settled(pairs, response, named=action == "create")
        left = [p for p in pairs if p.ordinal not in settled]
        if len(left) == 1 and len(pairs) == 1:
            settled[left[0].ordinal] = _alone(left[0], response)
        elif left:
            half = (len(left) + 1) // 2
            for part in (left[:half], left[half:]):
                settled |= {o.ordinal: o for o in await self._send(action, part, more)} if part else {}
        return list(settled.values())


def _category(kind: Mapping[str, Any]) -> str:
    return str(kind.get("category") or VENDORS)


def _types_of(other: dict[str, Any], categories: Mapping[int, str]) -> set[int]:
    kinds = [kind for kind in api.listed(other.get("associationTypes")) if isinstance(kind, dict)]
    found = [(kind["typeId"], _category(kind)) for kind in kinds if isinstance(kind.get("typeId"), int)]
    return {type_ if categories.get(type_, category) == category else -type_ for type_, category in found}


def _input(pair: Pair, more: dict[str, Any] | None) -> dict[str, Any]:
    if more is None:
        return {"from": {"id": pair.from_id}, "to": [{"id": pair.to_id}]}
    return {"from": {"id": pair.from_id}, "to": {"id": pair.to_id}, **more}


def _settled(pairs: Sequence[Pair], response: Response, *, named: bool) -> dict[int, Outcome]:
    """Whom the answer speaks of. `named`: a success names each pair; else it means all that no error means."""
    if not response.is_success:
        return {}
    body = api.body_of(response)
    attempts: int = response.extensions["attempts"]
    errors = [e for e in api.listed(body.get("errors")) if isinstance(e, dict)]
    settled = {}
    for pair in pairs:
        error = next((e for e in errors if _means(e, pair)), None)
        if error is not None:
            settled[pair.ordinal] = _refused(pair, error, attempts)
    done = {
        (str(r.get("fromObjectId")), str(r.get("toObjectId")))
        for r in api.listed(body.get("results"))
        if isinstance(r, dict)
    }
    for pair in pairs:
        if pair.ordinal not in settled and ((pair.from_id, pair.to_id) in done if named else not errors):
            settled[pair.ordinal] = Outcome(pair.ordinal, Status.OK, pair.from_id, attempts=attempts)
    return settled


def _means(error: dict[str, Any], pair: Pair) -> bool:
    """By both ends where it names both, else by either."""
    context = error.get("context")
    if not isinstance(context, dict):
        return False
    ends = {name: {str(v) for v in values} for name, values in context.items() if isinstance(values, list)}
    sources, targets, ids = (ends.get(name, set()) for name in ("fromObjectId", "toObjectId", "ids"))
    if sources and targets:
        return pair.from_id in sources and pair.to_id in targets
    return pair.from_id in sources | ids or pair.to_id in targets | ids


def _alone(pair: Pair, response: Response) -> Outcome:
    """A request of one pair that is not settled: refused as a whole, by an error that names nobody, or not answered."""
    body = api.body_of(response)
    attempts: int = response.extensions["attempts"]
    errors = [e for e in api.listed(body.get("errors")) if isinstance(e, dict)]
    if not response.is_success:
        return _refused(pair, body, attempts)
    if errors:
        return _refused(pair, errors[0], attempts)
    message = "the batch's answer does not name this link"
    return Outcome(pair.ordinal, Status.UNKNOWN, pair.from_id, "Unanswered", None, message, attempts)


def _refused(pair: Pair, error: dict[str, Any], attempts: int) -> Outcome:
    refusal = api.refusal(error)
    outcome = Outcome(pair.ordinal, Status.REJECTED, pair.from_id, "Rejected", refusal.code, refusal.message, attempts)
    outcome.in_row = refusal.code in api.IN_ROW
    return outcome
