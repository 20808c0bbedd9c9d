"""What holds the records of one golden record together: the edges between them, and what would have to go before they
fall apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """Two records that a rule joins. `identifier`: the value that both have; None where a steward decided. `weight`: as
    the rules have it, above zero."""

    left: str
    right: str
    rule: str
    identifier: str | None
    weight: float


@dataclass(frozen=True, slots=True)
class Bond:
    """A value without which the records would not hang together. `groups`: who would be left with whom, the largest
    first."""

    rule: str
    identifier: str | None
    groups: tuple[tuple[str, ...], ...]


def bonds(records: Collection[str], edges: Sequence[Edge]) -> list[Bond]:
    """The values that alone hold some of the records to the others, those that hold the most first. Empty where each
    record hangs on the others by more than one value. A value that two rules go by counts as one of each."""
    whole = len(_groups(records, edges))
    found = []
    for rule, identifier in sorted({(e.rule, e.identifier) for e in edges}, key=lambda each: (each[0], each[1] or "")):
        left = _groups(records, (e for e in edges if (e.rule, e.identifier) != (rule, identifier)))
        if len(left) > whole:
            found.append(Bond(rule, identifier, left))
    return sorted(found, key=lambda bond: (len(bond.groups[0]), bond.rule, bond.identifier or ""))


def _groups(records: Collection[str], edges: Iterable[Edge]) -> tuple[tuple[str, ...], ...]:
    leader = {record: record for record in records}

    def of(record: str) -> str:
        while leader[record] != record:
            leader[record] = leader[leader[record]]
            record = leader[record]
        return record

    for edge in edges:
        if edge.left in leader and edge.right in leader:
            leader[of(edge.left)] = of(edge.right)
    together: dict[str, list[str]] = {}
    for record in sorted(records):
        together.setdefault(of(record), []).append(record)
    return tuple(sorted(map(tuple, together.values()), key=lambda group: (-len(group), group)))
