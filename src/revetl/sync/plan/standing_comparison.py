"""A planned line beside the record that stands there now: which fields leave it, and what is kept of what stands. The
rules are said in `standing`. Nothing is read here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from revetl.destinations.base import Destination, DestinationField, RecordMatch
from revetl.model import Scalar
from revetl.state.sync_tables import SyncTables
from revetl.sync.plan import multi_select
from revetl.sync.plan.equal_forms import same
from revetl.sync.plan.policies import with_policy
from revetl.sync.plan.summary import Refresh
from revetl.sync.readback import KnownRow, NormalForms

if TYPE_CHECKING:
    import pyarrow as pa

# The columns of the scratch table `standing`.
COLUMNS = (
    ("ordinal", "BIGINT"),
    ("found_id", "VARCHAR"),  # NULL: gone
    ("changed_fields", "VARCHAR"),
    ("found", "VARCHAR"),  # JSON: what stands in the fields that will change; NULL: what we knew
    ("own_form", "VARCHAR"),  # of `match_on`, in the destination's normal form: ours, and what stands there
    ("main_form", "VARCHAR"),
    ("less", "BOOLEAN"),  # it has lost fields that stand there equal
    ("theirs", "VARCHAR"),  # the fields that it has lost since nothing says that they are ours; "": none
    ("moved", "BOOLEAN"),  # the id leads to another record: merged
)


class StandingComparison:
    """Compares one line after the other; holds no lines. `theirs`: field → lines that it left as such."""

    def __init__(
        self,
        tables: SyncTables,
        destination: Destination,
        described: Mapping[str, DestinationField],
        refresh: Refresh,
        again: bool,
        sent_in_doubt: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> None:
        self._tables, self._destination = tables, destination
        self._sent_in_doubt = sent_in_doubt
        self._forms = NormalForms(destination, tables)
        self._refresh, self._again = refresh, again
        self.theirs, self.left_as_theirs = Counter[str](), 0
        self._multi = multi_select.names(tables.spec, described)
        # Of these a later step has to see what stands.
        self._ruled = frozenset(f.name for f in with_policy(tables)) | self._multi
        self._at = {f.name: i for i, f in enumerate(tables.fields)}
        unique = {name for name in self._at if name in described and described[name].unique}
        self._unique = (unique | ({tables.spec.match_on} if tables.spec.match_on else set())) - {
            tables.spec.key_property
        }

    def line(self, row: KnownRow, match: RecordMatch | None) -> tuple[Any, ...] | None:
        """A row of `standing`; None where all is as we knew it."""
        if match is None:
            return (row["ordinal"], None, row["changed_fields"], None, None, None, False, "", False)
        changed = json.loads(row["changed_fields"])
        if self._lost_our_key(row, match) and self._tables.spec.key_property not in changed:
            changed.append(self._tables.spec.key_property)
        left = [name for name in changed if not self._leaves(name, row, match)]
        theirs = self._theirs(left, row)
        left = [name for name in left if name not in theirs]
        as_known = all(self._same(n, row[f"before__{self._at[n]}"], match.fields.get(n)) for n in left)
        merged = match.destination_id != row["destination_id"]
        identity = self._identity(row, match)
        # Of who left, `removals` has to see whose the record is.
        looked_at = row["leaves"] and (identity[0] != identity[1] or bool(match.former_ids))
        # In doubt, that it was read is worth knowing: else a record of which a field is withheld stays in doubt.
        doubted = row["op"] == "update" and row["in_doubt"]
        of_interest = merged or looked_at or doubted or self._again or bool(self._ruled.intersection(left))
        if as_known and not of_interest and len(left) == len(changed):
            return None
        found = {name: match.fields.get(name) for name in left}
        keep = row["op"] == "update" and (
            not as_known or doubted or self._again or bool(self._ruled.intersection(left))
        )
        return (
            row["ordinal"],
            match.destination_id,
            json.dumps(left, separators=(",", ":")),
            json.dumps(found, default=str) if keep else None,
            *identity,
            len(left) < len(changed),
            ", ".join(theirs),
            merged,
        )

    def _lost_our_key(self, row: KnownRow, match: RecordMatch) -> bool:
        """A person emptied the field, or the record went into another that has its own."""
        name = self._tables.spec.key_property
        if name is None or row["op"] != "update":
            return False
        return not self._same(name, match.fields.get(name), row[f"after__{self._at[name]}"])

    def _theirs(self, differing: Sequence[str], row: KnownRow) -> list[str]:
        """Those that the model has as the older snapshot had them. Our key is written when anything else is."""
        if self._refresh is not Refresh.READ_BACK or row["op"] != "update" or row["in_doubt"] or row["returned"]:
            return []
        as_before = [n for n in differing if self._same(n, *(row[f"{s}__{self._at[n]}"] for s in ("before", "after")))]
        if len(as_before) < len(differing):
            as_before = [name for name in as_before if name != self._tables.spec.key_property]
        self.theirs.update(as_before)
        self.left_as_theirs += bool(as_before)
        return as_before

    def _leaves(self, name: str, row: KnownRow, match: RecordMatch) -> bool:
        before, after = (row[f"{side}__{self._at[name]}"] for side in ("before", "after"))
        stands = match.fields.get(name)
        if name in self._multi:
            known = match.destination_id == row["destination_id"]
            after = multi_select.merged(stands, before if known else None, after)
        equal = self._same(name, stands, after)
        if row["leaves"] and name not in self._multi and not equal:
            return not self._is_ours(name, row, stands)
        if name in self._unique and row["known"] and self._same(name, before, after):
            merged = match.destination_id != row["destination_id"]
            also = {self._forms.of(name, value) for value in match.also.get(name, ())}
            if equal and (merged or row["in_doubt"]):
                return True
            # Known by it as by a further value; or merged, and nothing in our row asks for another than what stands.
            if not equal and (self._forms.of(name, after) in also or (merged and stands is not None)):
                return True
        return equal and not (self._refresh is Refresh.WHOLE or row["in_doubt"] or row["returned"])

    def _is_ours(self, name: str, row: KnownRow, stands: Scalar) -> bool:
        """Whether a field of who left holds what we last sent, or may have sent: a person's value is not cleared."""
        doubts = [sent[name] for sent in self._sent_in_doubt.get(row["key"], ()) if name in sent]
        form = self._forms.of(name, stands)
        return any(self._forms.of(name, value) == form for value in (row[f"before__{self._at[name]}"], *doubts))

    def _same(self, name: str, one: Scalar, other: Scalar) -> bool:
        cell = self._tables.cell
        return same(self._destination, self._tables.spec.object, name, cell(name, one), cell(name, other))

    def _identity(self, row: KnownRow, match: RecordMatch) -> tuple[str | None, str | None]:
        name = self._tables.spec.match_on
        if name is None or self._tables.by_id:
            return None, None
        side = "before" if row["leaves"] else "after"
        own, main = row[f"{side}__{self._at[name]}"], match.fields.get(name)
        if row["leaves"] and self._is_ours(name, row, main):
            own = main
        return self._forms.of(name, own) or None, self._forms.of(name, main) or None


def as_arrow(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    arrow = {"BIGINT": pa.int64(), "VARCHAR": pa.string(), "BOOLEAN": pa.bool_()}
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(list(c), arrow[t]) for (name, t), c in zip(COLUMNS, columns, strict=True)})
