"""Who is suppressed or erased, left out of a forecast as a run leaves them out.

The list of suppressed people holds keyed hashes, which no statement can make: questions are read and compared here.
Where nobody is on the list nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

from revetl.enrich.selection.question import Question
from revetl.enrich.selection.questions import QuestionSelection
from revetl.enrich.selection.scope import Scope
from revetl.enrich.selection.verifications import VerificationSelection
from revetl.model import Relation
from revetl.privacy.suppressions import Suppressions, anybody_suppressed
from revetl.warehouse.sql import table

_ROWS = 5_000


@contextmanager
def suppressed_left_out(scope: Scope) -> Iterator[tuple[Scope, int]]:
    """The scope without questions about people who are suppressed or erased, while the block lasts, and how many
    records these are. ConfigError where the key is not the one that the list of them was made with."""
    warehouse = scope.warehouse
    if not anybody_suppressed(warehouse):
        yield scope, 0
        return
    suppressions = Suppressions.load(warehouse)
    kept = warehouse.scratch("revetl_suppressed")
    warehouse.execute(f"DROP TABLE IF EXISTS {table(kept)}")
    warehouse.execute(f"CREATE TEMPORARY TABLE {table(kept)} (provider VARCHAR, key VARCHAR)")
    try:
        rows = (
            (provider, key)
            for provider, question in _questions(scope)
            for key in set(question.keys).difference(question.allowed(suppressions).keys)
        )
        _append(scope, kept, rows)
        records = warehouse.scalar(f"SELECT count(DISTINCT key) FROM {table(kept)}", int)
        yield replace(scope, suppressed=kept), records
    finally:
        warehouse.execute(f"DROP TABLE IF EXISTS {table(kept)}")


def _questions(scope: Scope) -> Iterator[tuple[str, Question]]:
    """By provider all that a run may come to ask."""
    questions, verifications = QuestionSelection(scope), VerificationSelection(scope)
    for stage in scope.spec.stages:
        for question in questions.stream(stage):
            yield stage.provider, question
    for field, verifier in dict.fromkeys(place for stage in scope.spec.stages for place in stage.verify.items()):
        for question in verifications.stream_unverified(field, verifier):
            yield verifier, question


def _append(scope: Scope, target: Relation, rows: Iterator[tuple[str, str]]) -> None:
    import pyarrow as pa

    while piece := list(islice(rows, _ROWS)):
        columns = [pa.array(column, pa.string()) for column in zip(*piece, strict=True)]
        scope.warehouse.append(target, pa.table(columns, names=["provider", "key"]))
