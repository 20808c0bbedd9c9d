"""One HubSpot account: its object stores, associations and tokens. Everything that an answer depends on."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from multidict import MultiMapping

from revetl.clock import Clock
from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.account import Pipeline, PortalList, PortalOwner, starting_owners, starting_pipelines
from revetl.sandbox.hubspot.association_types import AssociationTypes
from revetl.sandbox.hubspot.object_types import OBJECT_TYPES, STANDARD_TYPES, CustomObject, standard_type
from revetl.sandbox.hubspot.store import HUMAN, ObjectStore, Record
from revetl.sandbox.hubspot.values import iso

TOKEN_LIFETIME_S = 1800
_PRIMARY = frozenset({1, 5, 26})  # the kinds that a contact, a deal and a ticket have once: the primary company
_DATED = re.compile(r"/(20\d\d-\d\d)/")
_SCOPED = tuple(name for name in OBJECT_TYPES if name != "tickets")
ALL_SCOPES = (
    "oauth",
    *(f"crm.{what}.{name}.{how}" for what in ("objects", "schemas") for name in _SCOPED for how in ("read", "write")),
    "tickets",
    "crm.objects.custom.read",
    "crm.objects.custom.write",
    "crm.lists.read",
    "crm.lists.write",
    "crm.objects.owners.read",
    "crm.schemas.custom.read",
    "crm.schemas.custom.write",
)

# from type, from id → to type → to id → association type ids
Links = dict[tuple[str, str], dict[str, dict[str, list[int]]]]


@dataclass(slots=True)
class PortalCall:
    """One request after auth, limits and scopes: what every endpoint function takes. `type` is the canonical object
    type, `url` the whole address without its query."""

    portal: Portal
    type: str
    match: Mapping[str, str]
    query: MultiMapping[str]
    body: Any
    url: str

    @property
    def version(self) -> str | None:
        """Of a dated address, its date; None for v1 to v4."""
        dated = _DATED.search(self.url)
        return dated[1] if dated else None

    @property
    def store(self) -> ObjectStore:
        return self.portal.store(self.type)

    @property
    def fields(self) -> dict[str, Any]:
        """The body as an object; 400 where it is not one."""
        if not isinstance(self.body, dict):
            raise errors.invalid_json("a JSON object is expected")
        return self.body


# HTTP status and the JSON body; None for no body.
Reply = tuple[int, Any]


@dataclass(slots=True)
class Portal:
    """`search_lag_s`: how long a write stays unseen by search (docs: seconds). Ids grow by one over all types."""

    clock: Clock
    search_lag_s: float = 0.0
    # Token → the scopes that it has. One that does not stand here has all of them.
    grants: Mapping[str, Collection[str]] = field(default_factory=dict)
    portal_id: int = 1
    stores: dict[str, ObjectStore] = field(default_factory=lambda: {t: ObjectStore(t) for t in OBJECT_TYPES})
    links: Links = field(default_factory=dict)
    association_types: AssociationTypes = field(default_factory=AssociationTypes)
    owners: dict[str, PortalOwner] = field(default_factory=starting_owners)
    pipelines: dict[str, dict[str, Pipeline]] = field(default_factory=starting_pipelines)
    # By id; the records of each stand in the store of that name.
    custom: dict[str, CustomObject] = field(default_factory=dict)
    lists: dict[str, PortalList] = field(default_factory=dict)
    blocked_emails: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    last_id: int = 100_000_000
    # Raised by every change, so that a snapshot knows whether there is anything to write.
    version: int = 0
    _recent: dict[str, deque[tuple[int, str]]] = field(default_factory=dict)
    _token_ends: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.set_up()

    def set_up(self) -> None:
        """Owners and pipelines become the options of the properties that hold their ids, and what is calculated can
        be. To be called when either has changed, or another store has been put in."""
        owners = {o.id: f"{o.first_name} {o.last_name}" for o in self.owners.values() if not o.archived}
        for store in self.stores.values():
            if (owner := store.properties.get("hubspot_owner_id")) is not None:
                owner.options = owners
        for object_type, pipelines in self.pipelines.items():
            self._set_up_stages(self.stores[object_type], pipelines)
        self.stores["contacts"].calculations = {"hs_email_domain": _email_domain}
        for of_type, counted in (("companies", ("contacts", "deals")), ("deals", ("contacts",))):
            self.stores[of_type].calculations = {f"num_associated_{t}": self._counted(of_type, t) for t in counted}

    def _set_up_stages(self, store: ObjectStore, pipelines: dict[str, Pipeline]) -> None:
        """A type of the account's own has the properties of tickets (docs)."""
        type_ = STANDARD_TYPES.get(store.type) or STANDARD_TYPES["tickets"]
        if type_.pipeline is None:
            return
        store.pipeline_properties = type_.pipeline
        labels = (
            {p.id: p.label for p in pipelines.values()},
            {s.id: s.label for p in pipelines.values() for s in p.stages.values()},
        )
        for name, options in zip(type_.pipeline, labels, strict=True):
            if (property_ := store.properties.get(name)) is not None:
                property_.options = options
        store.stages = {p.id: frozenset(p.stages) for p in pipelines.values()}

    def canonical(self, name: str) -> str:
        """`contact`, `contacts`, `0-1` → `contacts`; one of the account's own → its id; an unknown name as it is."""
        return next((id_ for id_, type_ in self.custom.items() if type_.goes_by(name)), standard_type(name))

    def define(self, type_: CustomObject) -> ObjectStore:
        """A type of the account's own, without records. Records of it may be linked to all others (docs: to those that
        the definition names)."""
        self.custom[type_.id] = type_
        store = self.stores[type_.id] = self.empty_store(type_.id)
        self.set_up()
        return store

    def empty_store(self, object_type: str) -> ObjectStore:
        """Without records."""
        store = ObjectStore(object_type)
        if (own := self.custom.get(object_type)) is not None:
            store.default_properties = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id", *own.secondary)
        return store

    def _counted(self, of_type: str, linked_type: str) -> Callable[[Record], str]:
        return lambda record: str(len(self.linked(of_type, record.id, linked_type)))

    def store(self, object_type: str) -> ObjectStore:
        store = self.stores.get(object_type)
        if store is None:
            raise errors.unknown_type(object_type)
        return store

    def now_ms(self) -> int:
        return int(self.clock.now().timestamp() * 1000)

    def now_iso(self) -> str:
        return iso(self.clock.now())

    # writing: the only ways in which records change

    def create(self, store: ObjectStore, values: dict[str, str], at_ms: int, source: str) -> Record:
        self.last_id += 1
        record = store.create(str(self.last_id), values, at_ms, source)
        self._changed(store, record, at_ms, "created")
        return record

    def update(self, store: ObjectStore, record: Record, values: dict[str, str], at_ms: int, source: str) -> None:
        store.update(record, values, at_ms, source)
        self._changed(store, record, at_ms, "updated")

    def archive(self, store: ObjectStore, record: Record) -> None:
        store.archive(record, self.now_ms())
        self.unlink_all(store.type, record.id)
        self.counts[f"{store.type}.archived"] += 1
        self.version += 1

    def merge(self, store: ObjectStore, primary: Record, other: Record, values: dict[str, str]) -> Record:
        """A new record with these values in the place of both. It has the primary's history and both records' links. Of
        two primary companies the primary record's stays (assumed: a record has one)."""
        for to_type in self.links.get((store.type, primary.id), {}):
            if any(_PRIMARY.intersection(t) for t in self.linked(store.type, primary.id, to_type).values()):
                self._step_back(store.type, other.id, to_type)
        linked = [(r.id, dict(self.links.get((store.type, r.id), {}))) for r in (other, primary)]
        for record in (primary, other):
            store.erase(record)
        self.last_id += 1
        merged = store.create(str(self.last_id), values, self.now_ms(), HUMAN)
        merged.created_ms = min(primary.created_ms, other.created_ms)
        merged.writes[:0] = primary.writes
        for old_id, by_type in linked:
            for to_type, targets in by_type.items():
                for to_id, types in dict(targets).items():
                    back = self.linked(to_type, to_id, store.type).get(old_id, [])
                    self.link(store.type, merged.id, to_type, to_id, types, back)
            self.unlink_all(store.type, old_id)
        self._changed(store, merged, self.now_ms(), "merged")
        return merged

    def erase(self, store: ObjectStore, record: Record) -> None:
        store.erase(record)
        self.unlink_all(store.type, record.id)
        self.counts[f"{store.type}.erased"] += 1
        self.version += 1

    def _changed(self, store: ObjectStore, record: Record, at_ms: int, what: str) -> None:
        self.counts[f"{store.type}.{what}"] += 1
        self.version += 1
        if self.search_lag_s:
            self._recent.setdefault(store.type, deque()).append((at_ms, record.id))

    # searching

    def search_horizon_ms(self) -> int:
        return self.now_ms() - int(self.search_lag_s * 1000)

    def recent(self, object_type: str) -> set[str]:
        """Ids of records written within the search lag."""
        recent = self._recent.get(object_type)
        if not recent:
            return set()
        horizon = self.search_horizon_ms()
        while recent and recent[0][0] <= horizon:
            recent.popleft()
        return {record_id for _, record_id in recent}

    # associations

    def link(self, from_type: str, from_id: str, to_type: str, to_id: str, types: list[int], back: list[int]) -> None:
        self._link_one_way(from_type, from_id, to_type, to_id, types)
        self._link_one_way(to_type, to_id, from_type, from_id, back)
        self.version += 1

    def _link_one_way(self, from_type: str, from_id: str, to_type: str, to_id: str, types: list[int]) -> None:
        linked = self.links.setdefault((from_type, from_id), {}).setdefault(to_type, {}).setdefault(to_id, [])
        linked.extend(t for t in types if t not in linked)

    def linked(self, from_type: str, from_id: str, to_type: str) -> dict[str, list[int]]:
        return self.links.get((from_type, from_id), {}).get(to_type, {})

    def _step_back(self, from_type: str, from_id: str, to_type: str) -> None:
        """The record has no primary company any more: the pair stays, without the label."""
        for to_id, types in self.linked(from_type, from_id, to_type).items():
            for type_ in _PRIMARY.intersection(types):
                types.remove(type_)
                self.linked(to_type, to_id, from_type)[from_id].remove(self.association_types.get(type_).inverse)

    def unlink(self, from_type: str, from_id: str, to_type: str, to_id: str) -> None:
        for one, two in (((from_type, from_id), (to_type, to_id)), ((to_type, to_id), (from_type, from_id))):
            self.links.get(one, {}).get(two[0], {}).pop(two[1], None)
        self.version += 1

    def drop_type(self, *type_ids: int) -> None:
        """A label is gone: no link has it any longer. The links stay."""
        for by_type in self.links.values():
            for targets in by_type.values():
                for types in targets.values():
                    types[:] = [t for t in types if t not in type_ids]
        self.version += 1

    def add_list(self, name: str, object_type: str, processing_type: str = "MANUAL") -> PortalList:
        self.last_id += 1
        made = PortalList(str(self.last_id), name, object_type, processing_type)
        self.lists[made.id] = made
        self.version += 1
        return made

    def unlink_all(self, object_type: str, record_id: str) -> None:
        """Off every list too."""
        for one in self.lists.values():
            if one.object_type == object_type:
                one.members.pop(record_id, None)
        for to_type, targets in self.links.pop((object_type, record_id), {}).items():
            for to_id in targets:
                self.links.get((to_type, to_id), {}).get(object_type, {}).pop(record_id, None)

    # tokens

    def issue_token(self) -> str:
        token = f"oauth-{len(self._token_ends) + 1}"
        self._token_ends[token] = self.clock.monotonic() + TOKEN_LIFETIME_S
        return token

    def authenticate(self, authorization: str | None) -> tuple[str, bool]:
        """The token and whether it came from OAuth. Any token serves except one with `bad` in it (401), with
        `expired` (401, as an OAuth token past its time), or an OAuth token past its time."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip() or "bad" in token:
            raise errors.unauthenticated()
        ends = self._token_ends.get(token)
        if "expired" in token or (ends is not None and self.clock.monotonic() >= ends):
            raise errors.expired(iso(self.clock.now() - timedelta(seconds=1)))
        return token, ends is not None

    def scopes_of(self, token: str) -> list[str]:
        """All that there are, unless the token was granted others; of one with `readonly` in it those to read."""
        if token in self.grants:
            return sorted(self.grants[token])
        return [s for s in ALL_SCOPES if s.endswith(".read") or "readonly" not in token]

    def require_scope(self, token: str, scopes: Sequence[str]) -> None:
        """403 where the token has none of these."""
        if scopes and not set(scopes).intersection(self.scopes_of(token)):
            raise errors.missing_scopes(scopes)

    def token_ends_in_s(self, token: str) -> float | None:
        """None for one that was not issued here, as those of private apps, which do not end."""
        ends = self._token_ends.get(token)
        return None if ends is None else ends - self.clock.monotonic()


def _email_domain(record: Record) -> str | None:
    return record.values.get("email", "").partition("@")[2] or None
