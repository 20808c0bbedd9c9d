"""The kinds of link between two objects: those that HubSpot defines, and the account's own labels.

Type ids are the vendor's (docs). A link stands at both of its ends, each under an id of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from revetl.sandbox.hubspot import errors
from revetl.sandbox.hubspot.object_types import STANDARD_TYPES

HUBSPOT_DEFINED = "HUBSPOT_DEFINED"
USER_DEFINED = "USER_DEFINED"
# Where the ids of an account's own labels begin; each account has other ones.
_FIRST_CUSTOM = 1001


@dataclass(slots=True)
class AssociationType:
    """One direction of one kind of link. `inverse` is the id of the same link seen from the other side. `name` is what
    the associations of a listed record call it."""

    id: int
    from_type: str
    to_type: str
    inverse: int
    name: str
    label: str | None = None
    category: str = HUBSPOT_DEFINED

    def as_json(self) -> dict[str, Any]:
        return {"category": self.category, "typeId": self.id, "label": self.label}


_ENDS = (
    # id from the one side, from the other, the one side, the other
    (279, 280, "contacts", "companies"),
    (1, 2, "contacts", "companies"),
    (4, 3, "contacts", "deals"),
    (341, 342, "deals", "companies"),
    (5, 6, "deals", "companies"),
    (16, 15, "tickets", "contacts"),
    (339, 340, "tickets", "companies"),
    (26, 25, "tickets", "companies"),
    (28, 27, "tickets", "deals"),
    (450, 450, "companies", "companies"),
    (13, 14, "companies", "companies"),
)
# The other side of a primary company is called by what it is the primary one of (vendor's changelog; captured for 2).
_LABELS = {
    **dict.fromkeys((1, 5, 26), "Primary"),
    2: "Contact with Primary Company",
    6: "Deal with Primary Company",
    25: "Ticket with Primary Company",
    13: "Child Company",  # of these two the ids are the vendor's (docs), the words reported
    14: "Parent Company",
}
_NAMES = {13: "parent_to_child_company", 14: "child_to_parent_company"}
# A record has one primary company, and a company one parent: the earlier steps back (docs; of the parent: reported).
HELD_ONCE = frozenset({1, 5, 26, 14})
# `contact_to_company` is the primary one there and `contact_to_company_unlabeled` the plain one (captured); a pair that
# has no primary one calls the plain one by the short name (docs).
_BESIDE_A_PRIMARY = frozenset({279, 280, 341, 342, 339, 340})


class AssociationTypes:
    """An account's. Not thread-safe."""

    def __init__(self) -> None:
        self._by_id: dict[int, AssociationType] = {}
        self._default: dict[tuple[str, str], int] = {}
        for one, other, from_type, to_type in _ENDS:
            for id_, inverse, a, b in ((one, other, from_type, to_type), (other, one, to_type, from_type)):
                name = _NAMES.get(id_) or f"{STANDARD_TYPES[a].singular}_to_{STANDARD_TYPES[b].singular}" + (
                    "_unlabeled" if id_ in _BESIDE_A_PRIMARY else ""
                )
                label = _LABELS.get(id_)
                self._by_id[id_] = AssociationType(id_, a, b, inverse, name, label)
                if label is None:
                    self._default[a, b] = id_
        self._next = _FIRST_CUSTOM

    # reading

    def default(self, from_type: str, to_type: str) -> int:
        """The link without a label. 400 where the two can't be linked."""
        found = self._default.get((from_type, to_type))
        if found is None:
            raise errors.invalid_input(f"No association type exists between {from_type} and {to_type}")
        return found

    def linkable(self, from_type: str, to_type: str) -> bool:
        return (from_type, to_type) in self._default

    def between(self, from_type: str, to_type: str) -> list[AssociationType]:
        """All of a pair, in this direction."""
        self.default(from_type, to_type)
        return [t for t in self._by_id.values() if (t.from_type, t.to_type) == (from_type, to_type)]

    def get(self, type_id: int) -> AssociationType:
        return self._by_id[type_id]

    def find(self, type_id: Any, category: Any, from_type: str) -> AssociationType:
        """As a request names it. 400 where there is none that begins at this object, or it is of another category."""
        found = self._by_id.get(type_id) if isinstance(type_id, int) else None
        if found is None or found.from_type != from_type or category != found.category:
            raise errors.invalid_input(f"invalid association type {category} {type_id} of {from_type}")
        return found

    def with_implied(self, types: list[int]) -> list[int]:
        """These, and the one without a label, which every labelled link has beside it (docs)."""
        implied = [self._default[self._by_id[t].from_type, self._by_id[t].to_type] for t in types]
        return list(dict.fromkeys([*types, *implied]))

    def inverses(self, types: list[int]) -> list[int]:
        return [self._by_id[t].inverse for t in types]

    # an account's own labels

    def create(self, pair: tuple[str, str], name: str, label: str, inverse_label: str | None) -> list[AssociationType]:
        """One label for both ends, or one for each. 400 where the pair has a label of this name."""
        if any(t.name == name or t.label in (label, inverse_label) for t in self._custom(pair)):
            raise errors.invalid_input(f"An association label with the name {name} exists already")
        one, other = self._next, self._next + 1
        self._next += 2
        made = AssociationType(one, *pair, other, name, label, USER_DEFINED)
        back = AssociationType(other, pair[1], pair[0], one, name, inverse_label or label, USER_DEFINED)
        self._by_id |= {one: made, other: back}
        return [made, back] if inverse_label else [made]

    def open(self, from_type: str, to_type: str) -> None:
        """The two can be linked from now on, without a label, under an id of the account's own (docs: the ids of a type
        that an account defines are its own too). Nothing happens where they can be already."""
        if (from_type, to_type) in self._default:
            return
        one, other = self._next, self._next + 1
        self._next += 2
        for id_, inverse, a, b in ((one, other, from_type, to_type), (other, one, to_type, from_type)):
            self._by_id[id_] = AssociationType(id_, a, b, inverse, f"{a}_to_{b}")
            self._default[a, b] = id_

    def add(self, one: AssociationType, other: AssociationType) -> None:
        """A kind of link as another account has it, both ends. One that is here already stays as it is."""
        for type_ in (one, other):
            if type_.id not in self._by_id:
                self._by_id[type_.id] = type_
                self._next = max(self._next, type_.id + 1)
            if type_.label is None:
                self._default.setdefault((type_.from_type, type_.to_type), type_.id)

    def rename(self, pair: tuple[str, str], type_id: Any, label: str, inverse_label: str | None) -> None:
        """`inverse_label` None: as the other end was, or the same where both ends had one label."""
        one = self._own(pair, type_id)
        other = self._by_id[one.inverse]
        same = one.label == other.label
        one.label = label
        other.label = inverse_label or (label if same else other.label)

    def delete(self, pair: tuple[str, str], type_id: Any) -> tuple[int, int]:
        """Both directions are gone; gives their ids."""
        one = self._own(pair, type_id)
        for gone in (one.id, one.inverse):
            del self._by_id[gone]
        return one.id, one.inverse

    def _own(self, pair: tuple[str, str], type_id: Any) -> AssociationType:
        found = next((t for t in self._custom(pair) if str(t.id) == str(type_id)), None)
        if found is None:
            raise errors.not_found(f"Association label {type_id} does not exist or is defined by HubSpot")
        return found

    def _custom(self, pair: tuple[str, str]) -> Iterator[AssociationType]:
        return (t for t in self.between(*pair) if t.category == USER_DEFINED)

    # outliving the server

    def dump(self) -> list[dict[str, Any]]:
        return [asdict(t) for t in self._by_id.values() if t.category == USER_DEFINED or t.id >= _FIRST_CUSTOM]

    def restore(self, document: list[dict[str, Any]]) -> None:
        for stored in document:
            type_ = self._by_id[stored["id"]] = AssociationType(**stored)
            if type_.label is None:
                self._default[type_.from_type, type_.to_type] = type_.id
            self._next = max(self._next, stored["id"] + 1)
