"""Who is meant by a request to erase, and which records are theirs. Reads only.

Who is meant lies in two scratch tables: `values`, their emails and profiles in every spelling that somebody may have
written them in, and `keys`, their records with an alias each. A key names one record, in whatever table it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from revetl.model import Relation, Scalar
from revetl.privacy import mentions
from revetl.privacy.suppressions import UNIQUE, plain
from revetl.state.schema import relation
from revetl.state.values import VERIFICATION
from revetl.warehouse.base import Warehouse
from revetl.warehouse.sql import ident, literal, table


@dataclass(frozen=True, slots=True)
class PeopleRelation:
    """A relation with records of people. `columns`: what an identity calls it → the relation's column."""

    relation: Relation
    key: str
    columns: Mapping[str, str]


@dataclass(slots=True)
class FoundPeople:
    """Whoever was asked for, and all that was found of them. `found`: key → where, or that it was asked for.
    `identities`: what is known of them, for the list of suppressed people. `standing`: (sync, id at the destination).
    """

    found: dict[str, str] = field(default_factory=dict)
    identities: list[Mapping[str, str]] = field(default_factory=list)
    standing: list[tuple[str, str]] = field(default_factory=list)


class PeopleScratch:
    """The scratch tables, and conditions upon them."""

    def __init__(self, warehouse: Warehouse, alias: Callable[[str], str]) -> None:
        """`alias`: what stands in place of an erased record's key, or of a digest of what was asked about it."""
        self.warehouse = warehouse
        self.alias = alias
        self.values = warehouse.scratch("revetl_erase_values")
        self.keys = warehouse.scratch("revetl_erase_keys")
        self.texts_found = warehouse.scratch("revetl_erase_texts")
        self._emails, self._profiles = set[str](), set[str]()
        make_scratch(warehouse, self.values, ("value", "quoted"))
        make_scratch(warehouse, self.texts_found, ("text",))
        make_scratch(warehouse, self.keys, ("key", "quoted", "alias"))

    def add_keys(self, keys: Iterable[str]) -> None:
        known = {str(key) for (key,) in self.warehouse.rows(f"SELECT key FROM {table(self.keys)}")}
        rows = [(key, json.dumps(key), self.alias(key)) for key in dict.fromkeys(keys) if key not in known]
        append_texts(self.warehouse, self.keys, ("key", "quoted", "alias"), rows)

    def add_people(self, identities: Iterable[Mapping[str, str]]) -> None:
        spelled: dict[tuple[str, str], None] = {}
        for known in identities:
            self._emails |= mentions.same_address(known.get("email", ""))
            self._profiles |= mentions.profiles_in(known.get("linkedin_url", ""))
            for name in UNIQUE:
                for form in _spellings(name, known.get(name, "")):
                    # Ours and the databases' JSON differ in letters beyond ASCII.
                    spelled |= dict.fromkeys((form, json.dumps(form, ensure_ascii=a)) for a in (True, False))
        append_texts(self.warehouse, self.values, ("value", "quoted"), [*spelled])

    def read_texts(self) -> None:
        """Looks into every text of the state tables: those that name one of these people stand in `texts_found`. Safe
        to repeat. Only texts that hold the plain letters of an address or profile leave the warehouse."""
        pieces = {_letters(each) for each in (*self._emails, *self._profiles)}
        if not pieces:
            return
        wanted = self.warehouse.scratch("revetl_erase_letters")
        make_scratch(self.warehouse, wanted, ("one", "other"))
        append_texts(self.warehouse, wanted, ("one", "other"), [*pieces])
        seen = {str(text) for (text,) in self.warehouse.rows(f"SELECT text FROM {table(self.texts_found)}")}
        found: dict[str, None] = {}
        for name in self.warehouse.tables(self.warehouse.state_schema):
            for column in self.texts(name):
                texts = self.warehouse.rows(
                    f"""
                    SELECT DISTINCT o.{column}
                    FROM {self.table(name)} o
                    JOIN {table(wanted)} w
                        ON contains(lower(o.{column}), w.one) AND contains(lower(o.{column}), w.other)
                    """
                )
                found |= {str(t): None for (t,) in texts if str(t) not in seen and self._names(str(t))}
        append_texts(self.warehouse, self.texts_found, ("text",), [(text,) for text in found])

    def _names(self, text: str) -> bool:
        return not self._emails.isdisjoint(mentions.emails_in(text)) or not self._profiles.isdisjoint(
            mentions.profiles_in(text)
        )

    def is_named(self, column: str) -> str:
        return f"{column} IN (SELECT key FROM {table(self.keys)})"

    def is_theirs(self, column: str) -> str:
        return f"(lower(trim({column})) IN (SELECT value FROM {table(self.values)}) OR {self._is_found(column)})"

    def _is_found(self, column: str) -> str:
        return f"{column} IN (SELECT text FROM {table(self.texts_found)})"

    def holds_theirs(self, name: str, column: str) -> str:
        """Of JSON in a state table: one of its values is theirs, or names them."""
        whole = self._among(name, column, f"{table(self.values)} m ON contains(lower(o.{column}), m.quoted)")
        return f"({whole} OR {self._is_found(column)})"

    def mentions_theirs(self, name: str, column: str) -> str:
        """Of a text: it may say more, and a longer word that holds one of theirs counts as well."""
        held = self._among(name, column, f"{table(self.values)} m ON contains(lower(o.{column}), m.value)")
        return f"({held} OR {self._is_found(column)})"

    def holds_named(self, name: str, column: str) -> str:
        """Of JSON: one of its values is one of their keys."""
        return self._among(name, column, f"{table(self.keys)} k ON contains(o.{column}, k.quoted)")

    def _among(self, name: str, column: str, join: str) -> str:
        # Not EXISTS: Snowflake evaluates no subquery that is correlated by anything but equality.
        return f"""{column} IN (
            SELECT o.{column}
            FROM {self.table(name)} o
            JOIN {join}
        )"""

    def texts(self, name: str) -> list[str]:
        """The columns of a state table that may hold a value of theirs, quoted."""
        columns = self.warehouse.columns(relation(self.warehouse, name))
        return [ident(c.name) for c in columns if c.name != "key" and c.type.upper().startswith(("VARCHAR", "TEXT"))]

    def table(self, name: str) -> str:
        return table(relation(self.warehouse, name))


class PeopleSearch:
    """Finds one request's records."""

    def __init__(
        self,
        wanted: PeopleScratch,
        people: Sequence[PeopleRelation],
        list_keys: Callable[[Mapping[str, str]], set[str]],
    ) -> None:
        """`list_keys`: under which keys lists may have kept a person of whom this is known."""
        self._wanted = wanted
        self._warehouse = wanted.warehouse
        self._people = people
        self._list_keys = list_keys

    def find(self, identities: Sequence[Mapping[str, str]], keys: Sequence[str]) -> FoundPeople:
        """By the emails and profiles of `identities`, and by `keys`. A record is theirs if it holds one of these: as
        its own, as bought and accepted, or as sent. Names alone find nobody: they belong to many."""
        wanted, people = self._wanted, FoundPeople(dict.fromkeys(keys, "asked for"), [*identities])
        wanted.add_keys(keys)
        for each in self._people:  # records that were named say who is meant
            named = self._own(each, wanted.is_named(_text(each.key)))
            people.identities += [known for _, known in named]
        wanted.add_people(people.identities)
        wanted.read_texts()
        for each in self._people:
            for key, known in self._own(each, self._says(each.columns)):
                people.found.setdefault(key, each.relation.name)
                people.identities.append(known)
        for name, key in self._elsewhere():
            people.found.setdefault(key, name)
        wanted.add_keys(people.found)
        people.found |= dict.fromkeys(self._in_lists(people), "a list")
        people.identities += self._bought()
        distinct = dict.fromkeys(tuple(sorted(known.items())) for known in people.identities)
        people.identities = [dict(known) for known in distinct]
        people.standing = [*self._standing()]
        return people

    def _own(self, source: PeopleRelation, condition: str) -> list[tuple[str, dict[str, str]]]:
        present = {c.name for c in self._warehouse.columns(source.relation)}
        columns = {name: column for name, column in source.columns.items() if column in present}
        if not columns or source.key not in present:
            return []
        cells = ", ".join(map(_text, [source.key, *columns.values()]))
        rows = self._warehouse.rows(f"SELECT {cells} FROM {table(source.relation)} WHERE {condition}")
        return [
            (str(key), {name: str(v) for name, v in zip(columns, values, strict=True) if v is not None})
            for key, *values in rows
        ]

    def _says(self, columns: Mapping[str, str]) -> str:
        theirs = [self._wanted.is_theirs(_text(columns[name])) for name in UNIQUE if name in columns]
        return " OR ".join(theirs) or "FALSE"

    def _elsewhere(self) -> Iterator[tuple[str, str]]:
        """(table, key) of records that were sold to us, or that we sent, under one of the emails or profiles."""
        wanted = self._wanted
        where = {
            "enrichment_values": f"{_BELIEVED} AND {wanted.is_theirs('value')}",
            "outcomes": " OR ".join(wanted.holds_theirs("outcomes", ident(c)) for c in ("before", "after")),
        }
        for name in self._warehouse.tables(self._warehouse.state_schema):
            if name.startswith("snapshot__") and (texts := wanted.texts(name)):
                where[name] = " OR ".join(map(wanted.is_theirs, texts))
        for name, condition in where.items():
            rows = self._warehouse.rows(f"SELECT DISTINCT key FROM {wanted.table(name)} WHERE {condition}")
            yield from ((name, str(key)) for (key,) in rows)

    def _in_lists(self, people: FoundPeople) -> list[str]:
        """Keys of lists that are theirs: by what the list said of them, or by what was bought for it. A shared mailbox
        that was bought may so take somebody else's row of a list along, which costs only what was paid for it."""
        wanted = self._wanted
        calls, values = wanted.table("enrichment_calls"), wanted.table("enrichment_values")
        bought = self._warehouse.rows(
            f"""
            SELECT DISTINCT key
            FROM {values}
            WHERE starts_with(entity, 'adhoc:')
                AND {_BELIEVED}
                AND lower(value) IN (
                    SELECT lower(value)
                    FROM {values}
                    WHERE {_BELIEVED} AND {wanted.is_named("key")}
                )
            """
        )
        possible = {key for known in people.identities for key in self._list_keys(known)}
        wanted.add_keys(possible | {str(key) for (key,) in bought})
        held = self._warehouse.rows(
            f"""
            SELECT key
            FROM {values}
            WHERE {wanted.is_named("key")}
            UNION
            SELECT k.key
            FROM {table(wanted.keys)} k
            JOIN {calls} c ON contains(c.keys, k.quoted)
            """
        )
        return sorted({str(key) for (key,) in held} - people.found.keys())

    def _bought(self) -> list[Mapping[str, str]]:
        """What providers said of these records, and was believed."""
        rows = self._warehouse.rows(
            f"""
            SELECT DISTINCT field, value
            FROM {self._wanted.table("enrichment_values")}
            WHERE {_BELIEVED} AND {self._wanted.is_named("key")}
            """
        )
        return [{str(name): str(value)} for name, value in rows]

    def _standing(self) -> Iterator[tuple[str, str]]:
        for name in sorted(self._warehouse.tables(self._warehouse.state_schema)):
            if name.startswith("snapshot__"):
                rows = self._warehouse.rows(
                    f"""
                    SELECT destination_id
                    FROM {self._wanted.table(name)}
                    WHERE destination_id IS NOT NULL AND {self._wanted.is_named("key")}
                    ORDER BY destination_id
                    """
                )
                yield from ((name.removeprefix("snapshot__"), str(id_)) for (id_,) in rows)


_BELIEVED = (
    f"entity <> {literal(VERIFICATION)} AND field IN ({', '.join(map(literal, UNIQUE))}) AND rejected_reason IS NULL"
)


def make_scratch(warehouse: Warehouse, target: Relation, columns: Sequence[str]) -> None:
    warehouse.execute(f"DROP TABLE IF EXISTS {table(target)}")
    body = ", ".join(f"{ident(c)} VARCHAR" for c in columns)
    warehouse.execute(f"CREATE TEMPORARY TABLE {table(target)} ({body})")


def append_texts(
    warehouse: Warehouse, target: Relation, names: Sequence[str], rows: Sequence[Sequence[Scalar]]
) -> None:
    if not rows:
        return
    import pyarrow as pa

    columns = zip(*rows, strict=True)
    warehouse.append(target, pa.table([pa.array(list(c), pa.string()) for c in columns], names=list(names)))


def _spellings(name: str, value: str) -> list[str]:
    bare = plain(name, value)
    if not bare:
        return []
    if name != "linkedin_url":
        return [bare]
    return [f"{s}{w}{bare}{end}" for s in ("", "https://", "http://") for w in ("", "www.") for end in ("", "/")]


def _letters(identity: str) -> tuple[str, str]:
    """What stands in every spelling of an email or profile: its longest run of plain letters and digits on either side.
    Signs may be escaped."""
    sides = identity.rpartition("@" if "@" in identity else "/")[::2]
    one, other = (max(re.findall(r"[a-z0-9]+", side) or [""], key=len) for side in sides)
    return one, other


def _text(column: str) -> str:
    return f"CAST({ident(column)} AS VARCHAR)"
