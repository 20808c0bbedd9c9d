"""What is known of records that were asked: the form in which the solver, the replay and the comparison see history.

Providers and fields are numbered in the order of the waterfall; a set of them is a bit mask. Money is in US dollars as
float: these are statistics of the ledger, not the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider as a choice: `fills` is the mask of the fields that its stage is there for."""

    name: str
    fills: int


@dataclass(frozen=True, slots=True)
class VerificationCharge:
    """A value of `field` that has to be verified for `usd`. `same`: mask of the providers that gave this record the
    same value (this one among them): a verdict is paid for once."""

    field: int
    usd: float
    same: int


@dataclass(frozen=True, slots=True)
class KnownReply:
    """What a provider answers for a record, whenever it is asked: what that costs and which fields it fills with a
    value that is accepted. `able` False: the stage can't be asked of this record, which costs and gives nothing."""

    usd: float = 0.0
    fills: int = 0
    hit: bool = False
    checks: tuple[VerificationCharge, ...] = ()
    able: bool = True


UNABLE = KnownReply(able=False)


@dataclass(frozen=True, slots=True)
class AskedRecord:
    """`weight` records that want the same fields and got the same replies. None: nobody asked, so nobody knows.

    `fold` (0 to 4) is drawn from the record's key: an order that was chosen on some folds is valued on another.
    """

    weight: float
    wants: int
    replies: tuple[KnownReply | None, ...]
    audited: bool = False
    fold: int = 0

    @property
    def complete(self) -> bool:
        return None not in self.replies


def record_count(asked_records: Sequence[AskedRecord]) -> float:
    return sum(record.weight for record in asked_records)


def blank_count(asked_records: Sequence[AskedRecord]) -> float:
    """Blanks: records times the fields that each wants."""
    return sum(record.weight * record.wants.bit_count() for record in asked_records)


def provider_names(candidates: Sequence[Candidate], order: Sequence[int]) -> tuple[str, ...]:
    return tuple(candidates[i].name for i in order)
