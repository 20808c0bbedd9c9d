"""Rows of (key, request_hash, inputs), as questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from revetl.enrich.selection.query import Query
from revetl.enrich.selection.question import Question
from revetl.warehouse.base import Warehouse


def grouped(
    warehouse: Warehouse, rows: Query, names: Sequence[str], asked: Sequence[str], digests: Sequence[str] = ()
) -> Iterator[Question]:
    """Equal questions come as neighbours in `rows`, also across two pieces of the stream; each is given once, with the
    keys and the inputs (`names`) of all records that it is about. `asked` are the inputs that the provider is told;
    `digests` the identities whose digests stand in the columns id_0, id_1 and so on."""
    open_: Question | None = None
    keys: dict[str, None] = {}
    people: dict[tuple[tuple[str, str], ...], None] = {}
    for batch in warehouse.stream(rows.sql, rows.params):
        cells = {name: batch.column(f"in_{name}").to_pylist() for name in names}
        named = {name: batch.column(f"id_{n}").to_pylist() for n, name in enumerate(digests)}
        hashes, found = batch.column("request_hash").to_pylist(), batch.column("key").to_pylist()
        for i, request_hash in enumerate(hashes):
            identity = {name: cells[name][i] for name in names if cells[name][i]}
            if open_ is None or open_.request_hash != request_hash:
                if open_ is not None:
                    yield _whole(open_, keys, people)
                inputs = {name: identity[name] for name in asked if name in identity}
                about = {name: column[i] for name, column in named.items() if column[i]}
                open_, keys, people = Question(request_hash, (), inputs, (), about), {}, {}
            keys[found[i]] = None
            people[tuple(identity.items())] = None
    if open_ is not None:
        yield _whole(open_, keys, people)


def _whole(question: Question, keys: Iterable[str], people: Iterable[tuple[tuple[str, str], ...]]) -> Question:
    return replace(question, keys=tuple(keys), identities=tuple(dict(identity) for identity in people))
