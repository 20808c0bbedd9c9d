"""One batch on its way: handed to the connector, and what became of each change noted.

A call that is refused as a whole (Rejected is raised) is halved until the culprit stands alone: a batch of n takes at
most 2n - 1 calls, which is when every record of it is bad; one culprit takes at most 2 log2(n) + 1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from revetl.destinations.base import Destination
from revetl.errors import Ambiguous, CallError, Rejected, RevetlError
from revetl.model import Change, Outcome, Status, SyncSpec

Note = Callable[[Sequence[Change], Sequence[Outcome]], None]


class BatchWriter:
    """`note` is given the outcomes of changes that were refused or may have been applied. Of the others nothing is
    said: they were certainly not applied, and the run has to stop. `error` is why, `stopping` whether it is told to."""

    def __init__(self, destination: Destination, spec: SyncSpec, note: Note, stopping: Callable[[], bool]) -> None:
        self._destination, self._spec = destination, spec
        self._note, self._told_to_stop = note, stopping
        self.error: BaseException | None = None

    async def write(self, batch: Sequence[Change]) -> bool:
        """Whether all of it was taken."""
        spec = self._spec
        try:
            outcomes = self._sound(list(await self._destination.write(spec.object, spec.created_through, batch)))
        except Rejected as e:
            if len(batch) > 1:
                await halve(batch, self.write, self._is_to_stop)
            else:
                self._note(batch, failed(batch, Status.REJECTED, e))
            return False
        except Ambiguous as e:
            outcomes = failed(batch, Status.UNKNOWN, e)
        except CallError as e:
            # Denied, Unavailable, Throttled past patience: the next batch would meet the same.
            self.error = self.error or e
            return False
        except Exception as e:  # noqa: BLE001 - a connector's bug: all sent needs an outcome; the run stops
            self.error = self.error or e
            outcomes = failed(batch, Status.UNKNOWN, e)
        self._note(batch, outcomes)
        return all(outcome.status in (Status.OK, Status.ACCEPTED) for outcome in outcomes)

    def _sound(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Without what is no outcome: its change then counts as not answered. A connector that gives such a thing, or
        says two things of one change, can't be believed, so the run stops after this batch."""
        if all(map(_is_sound, outcomes)):
            sound = outcomes
        else:
            self.error = self.error or RevetlError(
                f"the connector of {self._spec.destination} gave something that is no outcome; its changes are unknown"
            )
            sound = [outcome for outcome in outcomes if _is_sound(outcome)]
        if len({outcome.ordinal for outcome in sound}) < len(sound) and contradicted(sound):
            self.error = self.error or RevetlError(
                f"the connector of {self._spec.destination} gave several outcomes for one change, which is unknown now"
            )
        return sound

    def _is_to_stop(self) -> bool:
        return self.error is not None or self._told_to_stop()


async def halve(
    batch: Sequence[Change], write: Callable[[Sequence[Change]], Awaitable[bool]], is_to_stop: Callable[[], bool]
) -> None:
    """Writes in two halves what was refused as a whole, so nothing of it was applied. `write` says whether all of a
    half was taken, and halves what is refused again. If nobody in the first half is refused the culprit is in the
    second, which then need not be sent whole to know it."""
    if is_to_stop():
        return
    half = (len(batch) + 1) // 2
    first, second = batch[:half], batch[half:]
    innocent = await write(first)
    if is_to_stop():
        return
    if innocent and len(second) > 1:
        await halve(second, write, is_to_stop)
    else:
        await write(second)


def _is_sound(outcome: object) -> bool:
    """Once per record sent, so the usual case is three comparisons of classes."""
    if not isinstance(outcome, Outcome) or outcome.status.__class__ is not Status:
        return False
    id_: object = outcome.destination_id
    if id_ is not None and not isinstance(id_, str):
        return False
    if outcome.status is Status.OK:
        return True
    if outcome.in_row.__class__ is not bool:
        return False
    stands: object = outcome.stands
    if stands is not None and not isinstance(stands, Mapping):
        return False
    texts: tuple[object, ...] = (outcome.error_class, outcome.error_code, outcome.message)
    return all(text is None or isinstance(text, str) for text in texts)


def failed(batch: Sequence[Change], status: Status, error: BaseException) -> list[Outcome]:
    """The same for all. The message of an error that is not ours may hold anything, so it is not repeated."""
    code = error.code if isinstance(error, CallError) else None
    message = str(error) if isinstance(error, CallError) else "the connector failed while this record was in flight"
    kind, in_row = type(error).__name__, isinstance(error, Rejected) and error.in_row
    return [Outcome(change.ordinal, status, None, kind, code, message, in_row=in_row) for change in batch]


def one_for_each(batch: Sequence[Change], outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Exactly one outcome per change. One that is missing is unknown, never ok, and so is one of which the connector
    says several things."""
    if [o.ordinal for o in outcomes] == [c.ordinal for c in batch]:
        return outcomes
    doubted = contradicted(outcomes)
    given = {o.ordinal: o for o in outcomes if o.ordinal not in doubted}
    return [
        given.get(c.ordinal) or _unanswered(c, "several outcomes" if c.ordinal in doubted else "no outcome")
        for c in batch
    ]


def contradicted(outcomes: Sequence[Outcome]) -> set[int]:
    """The changes of which two of these outcomes say different things. Saying one thing twice is no contradiction."""
    first: dict[int, Outcome] = {}
    return {outcome.ordinal for outcome in outcomes if first.setdefault(outcome.ordinal, outcome) != outcome}


def _unanswered(change: Change, given: str) -> Outcome:
    message = f"the connector gave {given}"
    return Outcome(change.ordinal, Status.UNKNOWN, error_class="Unanswered", message=message)
