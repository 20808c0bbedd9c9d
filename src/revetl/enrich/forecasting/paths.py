"""What became of records along the waterfall, stage by stage: what the ledger knows for the forecast.

How often a provider fills a field depends on who was asked before it: the hard records are left, and of two vendors
with the same data the second finds little. So what a stage gives is counted among the records that came to it as
others will, with the same things still lacking, and not over all that it was ever asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from revetl.enrich.ordering.cases import Arm, Case
from revetl.enrich.ordering.replay import way

# Of the records that came to a stage: so many may have been left out by a failure before the rest is taken for chosen.
_LEFT_OUT = 0.05


class State(NamedTuple):
    """A record before a stage. `wants`: fields that it lacked at the start; `open_`: stages before this one that could
    be asked of it; `lacks`: fields of this stage that it still lacks (all bits, by place). `audited`: it is asked
    whatever it lacks."""

    wants: int
    open_: int
    lacks: int
    audited: bool


class Outcome(NamedTuple):
    """`filled` and `checked`: fields that the answer fills, and whose value has to be verified."""

    hit: bool
    filled: int
    checked: int


Seen = Mapping[State, Mapping[Outcome, float]]


def seen_along(arms: Sequence[Arm], cases: Sequence[Case]) -> list[Seen]:
    """Per stage what was seen of it, as numbers of records, for stages in the order of `arms`.

    Where other orders ran, a record may have come to a late stage and not to an early one, just because the late one
    found nothing: what is known of the early one then holds for such records alone. From there on only those count
    that were asked of everybody by lot.
    """
    counted: list[dict[State, dict[Outcome, float]]] = [{} for _ in arms]
    fair = _fair_up_to(arms, cases)
    for case in cases:
        for place, state, outcome in _story(arms, case):
            if place >= fair and not (case.audited and case.complete):
                break
            _count(counted[place], state, outcome, case.weight)
        if case.audited and case.complete:
            for place, state, outcome in _audit(arms, case):
                _count(counted[place], state, outcome, case.weight)
    return list(counted)


def _count(counted: dict[State, dict[Outcome, float]], state: State, outcome: Outcome, weight: float) -> None:
    of = counted.setdefault(state, {})
    of[outcome] = of.get(outcome, 0.0) + weight


def _fair_up_to(arms: Sequence[Arm], cases: Sequence[Case]) -> int:
    """The first stage at which who is known may depend on what others found; the number of stages where there is
    none."""
    came, out_of_turn = [0.0] * len(arms), [0.0] * len(arms)
    for case in cases:
        for met in way(arms, case, range(len(arms))):
            came[met.arm] += case.weight
            if met.reply is None and any(reply is not None and reply.able for reply in case.replies[met.arm + 1 :]):
                out_of_turn[met.arm] += case.weight
    unfair = (i for i, _ in enumerate(arms) if out_of_turn[i] > _LEFT_OUT * came[i])
    return next(unfair, len(arms))


def _story(arms: Sequence[Arm], case: Case) -> Iterator[tuple[int, State, Outcome]]:
    for met in way(arms, case, range(len(arms))):
        if met.reply is None:
            return
        lacks = met.lacking & arms[met.arm].fills
        checked = sum({1 << check.field for check in met.checks})
        outcome = Outcome(met.reply.hit, met.reply.fills & lacks, checked)
        yield met.arm, State(case.wants, _open(arms, case, met.arm), lacks, False), outcome


def _audit(arms: Sequence[Arm], case: Case) -> Iterator[tuple[int, State, Outcome]]:
    """The same of a record that everybody is asked about: what was found already is asked for, and verified, again."""
    lacking, asked = case.wants, 0
    for i, (arm, reply) in enumerate(zip(arms, case.replies, strict=True)):
        if reply is None or not reply.able or not arm.fills & case.wants:
            continue
        lacks = lacking & arm.fills
        checks = {1 << c.field for c in reply.checks if case.wants >> c.field & 1 and not c.same & asked}
        yield (
            i,
            State(case.wants, _open(arms, case, i), lacks, True),
            Outcome(reply.hit, reply.fills & lacks, sum(checks)),
        )
        asked |= 1 << i
        lacking &= ~reply.fills


def _open(arms: Sequence[Arm], case: Case, before: int) -> int:
    return sum(
        1 << j
        for j, (arm, reply) in enumerate(zip(arms[:before], case.replies[:before], strict=True))
        if arm.fills & case.wants and (reply is None or reply.able)
    )
