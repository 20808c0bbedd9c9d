"""Questions on their way to one provider: in the order of their coming, equal ones as one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice

from revetl.enrich.execution.admission import Admission
from revetl.enrich.selection.identities import MOST_ALIKE, is_covered
from revetl.enrich.selection.question import Question


@dataclass(slots=True)
class QuestionSet:
    """Questions that were put into the queue together: those of one stage about one partition.

    `done` is set when each has its durable outcome or will never be asked, and so have all sets before it.
    `asked_by_others`: how many of them other runs asked first. `verification_usd`: what is reserved in the run's own
    budget for verifying what came; whoever put the set in releases it.
    """

    questions: Iterator[Question]
    asked: int = 0
    asked_by_others: int = 0
    verification_usd: Decimal = Decimal(0)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    begun: bool = False
    all_read: bool = False
    open: int = 0  # read, and without an outcome yet


class QuestionQueue:
    """Sets are read lazily, from the first on, as far as there is room for calls. `idle` is set while all that was put
    in has been read: then the next set would be read at once.

    `enough`: identities by which the provider can tell somebody. A question about a person that this run has asked
    about already, by the same identities or more, is left out; its record is given the answer. Empty: only equal ones.
    """

    def __init__(self, admission: Admission, enough: Collection[str] = ()) -> None:
        self._admission = admission
        self._sets: deque[QuestionSet] = deque()  # not done yet
        self._unread: deque[QuestionSet] = deque()
        self._waiting: dict[str, Question] = {}  # by request_hash: read, and not admitted yet
        self._set_of: dict[str, QuestionSet] = {}  # by request_hash: of what waits or is in flight
        self._enough = enough
        self._asked_about: dict[str, list[Question]] = {}  # digest → questions that have it
        self.idle = asyncio.Event()
        self.idle.set()

    def put(self, questions: QuestionSet) -> None:
        self._sets.append(questions)
        self._unread.append(questions)
        self.idle.clear()

    @property
    def waiting(self) -> int:
        """Questions that were read and are not admitted yet."""
        return len(self._waiting)

    @property
    def has_unread(self) -> bool:
        return bool(self._unread)

    def first(self, number: int) -> Sequence[Question]:
        """Of those that wait."""
        return list(islice(self._waiting.values(), number))

    def read(self, number: int) -> None:
        """Reads on until so many wait, or nothing is left."""
        while self._unread and len(self._waiting) < number:
            of = self._unread[0]
            if not of.begun and not self._waiting:
                self._admission.before_reading()
            of.begun = True
            question = next(of.questions, None)
            if question is None:
                of.all_read = True
                self._unread.popleft()
            else:
                self._add(question, of)
        if not self._unread:
            self._mark_done()
            self.idle.set()

    def _add(self, question: Question, of: QuestionSet) -> None:
        equal = self._waiting.get(question.request_hash)
        if equal is not None:
            # The same as one of an earlier set, which had no intent yet when this one was read.
            self._waiting[question.request_hash] = _joined(equal, question)
        elif question.request_hash not in self._set_of and not self._is_asked_about(question):
            self._waiting[question.request_hash] = question
            self._set_of[question.request_hash] = of
            of.asked += 1
            of.open += 1

    def _is_asked_about(self, question: Question) -> bool:
        mine = [digest for name, digest in question.digests.items() if name in self._enough]
        for digest in mine:
            # Itself where it is read again, after a lost connection.
            others = [q for q in self._asked_about.get(digest, ()) if q.request_hash != question.request_hash]
            if is_covered(question.digests, self._enough, [other.digests for other in others]):
                return True
        for digest in mine:
            alike = self._asked_about.setdefault(digest, [])
            if len(alike) < MOST_ALIKE:
                alike.append(replace(question, keys=(), inputs={}, identities=()))
        return False

    def remove_admitted(self, question: Question) -> None:
        """Its call is about to leave: it waits no more, and stays open until its outcome is written."""
        del self._waiting[question.request_hash]

    def remove_asked_by_others(self, questions: Sequence[Question]) -> None:
        """They are not ours any more; their answers are waited for when all else is asked."""
        for question in questions:
            del self._waiting[question.request_hash]
            of = self._set_of.pop(question.request_hash)
            of.asked_by_others += 1
            of.open -= 1
        self._mark_done()

    def finish(self, question: Question, verification_usd: Decimal) -> None:
        """Its outcome is durable. To be followed by `outcomes_written`."""
        of = self._set_of.pop(question.request_hash)
        of.open -= 1
        of.verification_usd += verification_usd

    def outcomes_written(self) -> None:
        self._mark_done()

    def abandon(self) -> None:
        """Nothing is asked any more, and nobody need wait for it."""
        for each in self._sets:
            each.done.set()
        self.idle.set()

    def _mark_done(self) -> None:
        """In the order in which they were put in: then what one set has in common with an earlier one is answered."""
        while self._sets and self._sets[0].all_read and not self._sets[0].open:
            self._sets.popleft().done.set()


def _joined(one: Question, other: Question) -> Question:
    keys = tuple(dict.fromkeys([*one.keys, *other.keys]))
    identities = [*one.identities, *(each for each in other.identities if each not in one.identities)]
    return replace(one, keys=keys, identities=tuple(identities))
