"""What holds the records of one golden record together: the edges between them, and what would have to go before they
fall apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

Value = tuple[str, str | None]  # a rule, and the value that both records have

_MOST_WORK = 3_000_000  # edges looked at for sets of values: a second or two


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


@dataclass(frozen=True, slots=True)
class Cut:
    """Values that hold some records to the others only together: without all of them they fall into `groups`."""

    values: tuple[Value, ...]
    groups: tuple[tuple[str, ...], ...]


def cuts(records: Collection[str], edges: Sequence[Edge], *, most_values: int = 3) -> list[Cut]:
    """The smallest sets of values, of two or more, whose loss parts the records; for records that no value alone holds.
    Empty where `most_values` are too few to part them, or there are too many values to try."""
    values: list[Value] = sorted({(e.rule, e.identifier) for e in edges}, key=lambda each: (each[0], each[1] or ""))
    whole, work = len(_groups(records, edges)), 0
    for size in range(2, most_values + 1):
        found = []
        for lost in combinations(values, size):
            work += len(edges)
            if work > _MOST_WORK:
                return []
            left = _groups(records, (e for e in edges if (e.rule, e.identifier) not in lost))
            if len(left) > whole:
                found.append(Cut(lost, left))
        if found:
            return sorted(found, key=lambda cut: (len(cut.groups[0]), str(cut.values)))
    return []


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
