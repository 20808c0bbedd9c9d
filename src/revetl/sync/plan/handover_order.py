"""Who gets a unique value, and after whom: worked out over the plan lines that want one, in plain values.

A value that is unique at the destination can be given to a record only once nobody else has it. So a line that wants a
value waits for the line that gives it up; where such lines wait for each other in a circle, one record's field is
emptied first; where that can't be, and where nobody gives the value up, the field is withheld.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Want(NamedTuple):
    """A line that would give its record this value, in the destination's normal form. `whole`: without the field
    nothing of the line can be sent. `rank`: of two that want one value the lower gets it, where it is `sole`: two
    records can't have it."""

    ordinal: int
    key: str
    field: str
    value: str
    whole: bool = False
    rank: int = 0
    sole: bool = True


class Hold(NamedTuple):
    """A record that has this value. `key`: empty where it is none of this sync. `ordinal`: the line by which it gives
    the value up; None where it does not. `leaves`: by being deleted. `vacatable`: its field can be emptied before that
    line is sent."""

    key: str
    field: str
    value: str
    ordinal: int | None = None
    leaves: bool = False
    vacatable: bool = False


class Handover(NamedTuple):
    """The record of line `giver` gives a value to the record of line `taker`."""

    taker: int
    taker_key: str
    giver: int
    giver_key: str
    field: str
    value: str
    leaves: bool
    vacatable: bool


@dataclass(slots=True)
class Arrangement:
    """`withheld`: (line, field) → the key that has the value or gets it, as `Hold` has it. `vacated`: (line, field) to
    be emptied before anything is sent. `handovers`: what changes hands. `waves`: line → how many waves are sent before
    it, for the lines that have to wait; all others are in wave 0."""

    withheld: dict[tuple[int, str], str] = field(default_factory=dict)
    vacated: set[tuple[int, str]] = field(default_factory=set)
    handovers: list[Handover] = field(default_factory=list)
    waves: dict[int, int] = field(default_factory=dict)


def arrange(wants: Iterable[Want], holds: Iterable[Hold]) -> Arrangement:
    """Every want is either withheld, or follows all that hold its value."""
    return _Arranging(wants, holds).arrange()


class _Arranging:
    def __init__(self, wants: Iterable[Want], holds: Iterable[Hold]) -> None:
        self._out = Arrangement()
        self._wanted: dict[tuple[str, str], list[Want]] = defaultdict(list)
        self._wants_of: dict[int, list[Want]] = defaultdict(list)
        for want in wants:
            self._wanted[want.field, want.value].append(want)
            self._wants_of[want.ordinal].append(want)
        self._held: dict[tuple[str, str], list[Hold]] = defaultdict(list)
        self._held_by: dict[tuple[int, str], list[Hold]] = defaultdict(list)
        for hold in dict.fromkeys(holds):
            self._held[hold.field, hold.value].append(hold)
            if hold.ordinal is not None and not hold.leaves:
                self._held_by[hold.ordinal, hold.field].append(hold)

    def arrange(self) -> Arrangement:
        for place, group in self._wanted.items():
            self._withhold_of_keepers(group, self._held.get(place, ()))
            first, *others = sorted(group, key=lambda want: (want.rank, want.ordinal))
            for want in others:
                if want.sole and want.key != first.key:
                    self._withhold(want, first.key)
        handovers = [*self._handovers()]
        while circles := _circles(handovers):
            self._break(circles)
            handovers = [h for h in handovers if (h.taker, h.field) not in self._out.withheld]
            handovers = [h for h in handovers if (h.giver, h.field) not in self._out.vacated]
        self._out.waves = _waves(handovers)
        self._out.handovers = [*self._handovers()]
        return self._out

    def _withhold_of_keepers(self, group: Sequence[Want], holds: Iterable[Hold]) -> None:
        for hold in holds:
            for want in group if hold.ordinal is None else ():
                if want.key != hold.key:
                    self._withhold(want, hold.key)

    def _withhold(self, want: Want, holder: str) -> None:
        """Whoever keeps its value withholds it from those who want it, and so on."""
        waiting = [(want, holder)]
        while waiting:
            want, holder = waiting.pop()
            if (want.ordinal, want.field) in self._out.withheld:
                continue
            self._out.withheld[want.ordinal, want.field] = holder
            if want.whole:
                waiting += [(other, holder) for other in self._wants_of[want.ordinal]]
            for hold in self._held_by.get((want.ordinal, want.field), ()):
                takers = self._wanted.get((hold.field, hold.value), ())
                waiting += [(taker, hold.key) for taker in takers if taker.key != hold.key]

    def _handovers(self) -> Iterator[Handover]:
        for place, group in self._wanted.items():
            for want in group:
                if (want.ordinal, want.field) in self._out.withheld:
                    continue
                for hold in self._held.get(place, ()):
                    if hold.ordinal is not None and hold.key != want.key:
                        yield Handover(
                            want.ordinal, want.key, hold.ordinal, hold.key, *place, hold.leaves, hold.vacatable
                        )

    def _break(self, circles: Sequence[Sequence[Handover]]) -> None:
        """One record of each circle is emptied, the lowest line of those that can be; else its fields are withheld."""
        for circle in circles:
            if able := [h for h in circle if h.vacatable]:
                emptied = min(able, key=lambda h: (h.giver, h.field))
                self._out.vacated.add((emptied.giver, emptied.field))
                continue
            for h in circle:
                for want in self._wants_of[h.taker]:
                    if want.field == h.field:
                        self._withhold(want, h.giver_key)


def _circles(handovers: Sequence[Handover]) -> list[list[Handover]]:
    """The handovers among lines that wait for each other (strongly connected), one list for each such set of lines."""
    givers: dict[int, list[int]] = defaultdict(list)
    for h in handovers:
        givers[h.taker].append(h.giver)
    group_of = _components(givers)
    circles: dict[int, list[Handover]] = defaultdict(list)
    for h in handovers:
        if group_of[h.taker] == group_of[h.giver]:
            circles[group_of[h.taker]].append(h)
    return [circles[group] for group in sorted(circles)]


def _components(edges: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Node → its strongly connected component, named by one of its nodes. Tarjan's algorithm without recursion, since a
    chain may be as long as the model."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    component: dict[int, int] = {}
    stack: list[int] = []
    for root in edges:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        work = [(root, iter(edges.get(root, ())))]
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    index[successor] = low[successor] = len(index)
                    stack.append(successor)
                    work.append((successor, iter(edges.get(successor, ()))))
                    break
                if successor not in component:
                    low[node] = min(low[node], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    while True:
                        member = stack.pop()
                        component[member] = node
                        if member == node:
                            break
    return component


def _waves(handovers: Sequence[Handover]) -> dict[int, int]:
    """Line → its wave, where that is not the first. Deletes are sent before all else, so who takes a value from one
    waits for no wave."""
    takers: dict[int, list[Handover]] = defaultdict(list)
    open_: dict[int, int] = defaultdict(int)
    for h in handovers:
        takers[h.giver].append(h)
        open_[h.taker] += 1
    waves: dict[int, int] = defaultdict(int)
    ready = [giver for giver in takers if not open_.get(giver)]
    while ready:
        giver = ready.pop()
        for h in takers.get(giver, ()):
            waves[h.taker] = max(waves[h.taker], waves[giver] + (0 if h.leaves else 1))
            open_[h.taker] -= 1
            if not open_[h.taker]:
                ready.append(h.taker)
    return {line: wave for line, wave in waves.items() if wave}
