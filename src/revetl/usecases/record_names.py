"""Which record a person means: by its key or the beginning of it, an email or another value that records are matched
by, or the id that a destination gave. Looked for in SQL, in the warehouse: no table is read into Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from revetl.errors import ConfigError, quoted
from revetl.model import Relation, SyncSpec
from revetl.state.schema import table_suffix
from revetl.state.sync_tables import SyncField
from revetl.usecases.matching_models import matched_clusters
from revetl.warehouse.sql import ident, literal, table

if TYPE_CHECKING:
    from revetl.project import Project
    from revetl.warehouse.base import Warehouse

_LISTED = 10
_MOST_HITS = 1_000
# Models with a row per golden record, by `golden_id`, and what people know such a record by.
_GOLDEN = ("golden_contacts", "golden_companies", "golden_members", "golden_id_redirects")
_GOLDEN_VALUES = ("email", "phone", "domain", "record_id", "record_key")  # the last two: in golden_members
# Every value that source records offer: an address that did not survive names the person too.
_OFFERED, _NAMING_FIELDS = "golden_offered_values", "'email', 'phone', 'linkedin_url', 'domain'"


@dataclass(frozen=True, slots=True)
class RecordHit:
    """One way in which a text names a record. `kind`: key, beginning of the key, destination id, or the name of the
    column that holds it. `place`: the model or table where it was found."""

    key: str
    kind: str
    place: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A relation that is looked at. `key`: the column that names the record; `ids`: columns with ids of destinations;
    `values`: columns with what records are matched by; `only`: a condition on the rows whose values are looked at."""

    name: str
    relation: Relation
    key: str
    ids: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    only: str = "TRUE"


def find_record(project: Project, warehouse: Warehouse, text: str, *, sync: str | None = None) -> list[RecordHit]:
    """All hits, one record's together; `sync`: only where this sync keeps its records. A key that is exactly the text
    stands alone: nothing else is meant then. Empty where nothing is found."""
    places = _there(warehouse, _places(project, sync))
    if not text or not places:
        return []
    exact = _hits(warehouse, places, text, exact=True)
    return exact or _hits(warehouse, places, text, exact=False)


def record_key(project: Project, warehouse: Warehouse, text: str, *, sync: str | None = None) -> str | None:
    """The key of the one record that is meant; None where nothing is found. ConfigError where several are: they are
    listed, with the kind by which each was found."""
    hits = find_record(project, warehouse, text, sync=sync)
    keys = list(dict.fromkeys(hit.key for hit in hits))
    if len(keys) > 1:
        number = f"{len(keys):,}" if len(hits) < _MOST_HITS else f"at least {len(keys):,}"
        raise ConfigError(f"{quoted(text)} fits {number} records; name one by its key", hint=_listing(keys, hits))
    return keys[0] if keys else None


def record_keys(
    project: Project, warehouse: Warehouse, texts: Sequence[str], *, sync: str | None = None
) -> tuple[str, ...]:
    """As `record_key` of each; a text that names no record stays as it is: what is asked about it finds nothing."""
    return tuple(record_key(project, warehouse, text, sync=sync) or text for text in texts)


def known_key(project: Project, warehouse: Warehouse, text: str) -> str:
    """As `record_key`; ConfigError with what was looked at where nothing is found."""
    key = record_key(project, warehouse, text)
    if key is None:
        present = _there(warehouse, _places(project, None))
        columns = dict.fromkeys(name for place in present for name in place.values)
        said = ", ".join(["keys and their beginnings", "ids of destinations", *columns])
        names = ", ".join(dict.fromkeys(place.name for place in present)) or "no table: nothing was built or sent yet"
        raise ConfigError(f"nothing is known of {quoted(text)}", hint=f"Looked at: {said}\n    in: {names}")
    return key


def _listing(keys: Sequence[str], hits: Sequence[RecordHit]) -> str:
    lines = []
    for key in keys[:_LISTED]:
        kinds = list(dict.fromkeys(hit.kind for hit in hits if hit.key == key))
        places = list(dict.fromkeys(hit.place for hit in hits if hit.key == key))
        lines.append(f"{key}  by {', '.join(kinds)}  in {', '.join(places)}")
    more = [f"… {len(keys) - _LISTED:,} more"] if len(keys) > _LISTED else []
    return "\n    ".join([*lines, *more])


def _places(project: Project, sync: str | None) -> Iterator[_Place]:
    if sync is None:
        models = set(project.manifest.model_names())
        for model in (name for name in _GOLDEN if name in models):
            yield _Place(model, project.relation(model), "golden_id", (), _GOLDEN_VALUES)
        if _OFFERED in models:
            relation = project.relation(_OFFERED)
            yield _Place(_OFFERED, relation, "golden_id", (), ("value",), f"field IN ({_NAMING_FIELDS})")
        for matched in matched_clusters(project):
            yield _Place(matched.name, matched.clusters, "cluster", (), ("node",))
    for spec in project.syncs(verified=False):
        if sync in (None, spec.name):
            yield from _places_of(project, spec)
    if sync is None:
        state = project.state_schema
        yield _Place("outcomes", Relation(state, "outcomes"), "key", ("destination_id",))
        yield _Place("enrichment_values", Relation(state, "enrichment_values"), "key")


def _places_of(project: Project, spec: SyncSpec) -> Iterator[_Place]:
    matched = () if spec.match_on is None else (spec.match_on,)
    stored_match = tuple(SyncField(name, "", keep_null=False).stored for name in matched)
    yield _Place(spec.name, spec.relation, spec.key, (), matched)
    for name in (spec.name, *([spec.renamed_from] if spec.renamed_from else [])):
        for kind, ids, values in (
            ("snapshot", ("destination_id",), stored_match),
            ("links", ("from_id",), ()),
            ("rejected", (), ()),
        ):
            stored = f"{kind}__{table_suffix(name)}"
            yield _Place(stored, Relation(project.state_schema, stored), "key", ids, values)


def _there(warehouse: Warehouse, places: Iterator[_Place]) -> list[_Place]:
    """The places that exist, with the columns that they have."""
    found = []
    for place in places:
        columns = {c.name for c in warehouse.columns(place.relation)}
        if place.key in columns:
            ids, values = (tuple(n for n in names if n in columns) for names in (place.ids, place.values))
            found.append(replace(place, ids=ids, values=values))
    return found


def _hits(warehouse: Warehouse, places: Sequence[_Place], text: str, *, exact: bool) -> list[RecordHit]:
    """`exact`: only keys that are the text."""
    q = warehouse.dialect
    selects: list[str] = []
    for place in places:
        conditions = (
            [("key", f"CAST({ident(place.key, q)} AS VARCHAR) = ?")]
            if exact
            else [
                ("beginning of the key", f"starts_with(CAST({ident(place.key, q)} AS VARCHAR), ?)"),
                *(("destination id", f"CAST({ident(name, q)} AS VARCHAR) = ?") for name in place.ids),
                *(
                    (name, f"lower(CAST({ident(name, q)} AS VARCHAR)) = lower(?) AND {place.only}")
                    for name in place.values
                ),
            ]
        )
        selects += [
            f"""
            SELECT
                CAST({ident(place.key, q)} AS VARCHAR) AS key,
                {literal(kind)} AS kind,
                {literal(place.name)} AS place
            FROM {table(place.relation, q)}
            WHERE {condition}
            """
            for kind, condition in conditions
        ]
    rows = warehouse.rows(
        f"""
        SELECT key, kind, place
        FROM ({" UNION ALL ".join(selects)}) hits
        WHERE key IS NOT NULL
        GROUP BY key, kind, place
        ORDER BY key, kind, place
        LIMIT {_MOST_HITS}
        """,
        [text] * len(selects),
    )
    return [RecordHit(str(key), str(kind), str(place)) for key, kind, place in rows]
