"""One record three ways: what we last wrote, what the next sync would leave standing, and what stands there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from revetl.destinations.base import DestinationField, RecordMatch
from revetl.model import FieldPolicy, Scalar
from revetl.state.sync_tables import SyncField, SyncTables
from revetl.sync import typed_text
from revetl.sync.drift import findings
from revetl.sync.drift.findings import DriftFinding
from revetl.sync.plan import multi_select, policies
from revetl.sync.plan.equal_forms import is_null
from revetl.sync.readback import KnownRow, NormalForms
from revetl.sync.vacated_fields import VacatedField

EMPTIED_BY_US = "emptied by a hand-over of ours that broke off: the next sync gives it a value"


class DriftComparison:
    """Compares one record after the other; holds no records."""

    def __init__(
        self,
        tables: SyncTables,
        forms: NormalForms,
        described: Mapping[str, DestinationField],
        left_empty: Mapping[str, Mapping[str, VacatedField]],
    ) -> None:
        """`left_empty`: key → fields that a hand-over of ours emptied (`vacated_fields.left_empty`)."""
        self._forms, self._left_empty = forms, left_empty
        self._described = described
        self._multi = multi_select.names(tables.spec, described)
        names = [f.name for f in tables.fields]
        self._match_on = (names.index(on), on) if (on := tables.spec.match_on) in names and on in described else None
        self._fields = [
            (i, f, tables.spec.rule(f.name).policy) for i, f in enumerate(tables.fields) if f.name in described
        ]

    def record(self, row: KnownRow, match: RecordMatch | None) -> Iterator[DriftFinding]:
        """`row`: one of `findings.known_records`. `match`: what was read back, None where nothing stands there."""
        key, id_ = row["key"], row["destination_id"]
        if match is None:
            if not row["accepted"]:
                yield DriftFinding(key, id_, None, None, None, None, findings.MISSING)
            return
        if match.destination_id != id_:
            main = findings.MAIN if self._is_main(row, match) else None
            yield DriftFinding(key, id_, None, None, None, match.destination_id, findings.MERGED, value=main)
        for i, column, policy in self._fields:
            last = row[f"last__{i}"]
            wanted = last if row["waits"] else row[f"wanted__{i}"]
            finding = self._field(row, column, policy, (last, wanted, match.fields.get(column.name)))
            if finding is not None:
                yield finding

    def _is_main(self, row: KnownRow, match: RecordMatch) -> bool:
        """Whether the merged record has our `match_on` value as its main one: another went into ours."""
        if self._match_on is None:
            return False
        index, name = self._match_on
        stands = self._forms.of(name, match.fields.get(name))
        return bool(stands) and stands == self._forms.of(name, row[f"last__{index}"])

    def _field(
        self, row: KnownRow, column: SyncField, policy: FieldPolicy, values: tuple[Scalar, Scalar, Scalar]
    ) -> DriftFinding | None:
        last, wanted, theirs = values
        if theirs == last and wanted == last:
            return None
        kept, read = last, theirs
        if column.name in self._multi:  # an option of somebody else beside ours is no drift of ours
            kept, read = multi_select.merged(theirs, last, last), multi_select.ours_of(theirs, last, wanted)
            wanted = multi_select.merged(theirs, last, wanted)
        of_last, of_wanted, of_theirs = (self._forms.of(column.name, value) for value in (kept, wanted, theirs))
        if of_wanted != of_theirs and self._kept_by_rule(column, policy, wanted, of_theirs, of_wanted):
            wanted, of_wanted = theirs, of_theirs
        if of_last == of_wanted == of_theirs:
            return None
        texts = (typed_text.text(last), typed_text.text(wanted), typed_text.text(theirs))
        if not of_theirs and column.name in self._left_empty.get(row["key"], ()):
            return DriftFinding(row["key"], row["destination_id"], column.name, *texts, findings.PENDING, EMPTIED_BY_US)
        value = note = None
        try:
            value = typed_text.text(typed_text.fit(column.type, read))
        except ValueError as e:
            note = str(e)
        class_ = _class(of_last, of_wanted, of_theirs)
        retried_for = row["retried_for"] if class_ == findings.PENDING else None
        return DriftFinding(row["key"], row["destination_id"], column.name, *texts, class_, note, retried_for, value)

    def _kept_by_rule(self, column: SyncField, policy: FieldPolicy, wanted: Scalar, theirs: str, ours: str) -> bool:
        """Whether the next sync would leave theirs standing though it is not ours."""
        if column.keep_null and is_null(self._forms.destination, self._forms.tables.spec.object, column.name, wanted):
            return True
        return policy != "always" and not policies.allows(policy, self._described[column.name], theirs, ours)


def _class(last: str, wanted: str, theirs: str) -> str:
    if theirs == last:
        return findings.PENDING
    if wanted == last:
        return findings.THEIRS
    return findings.SAME if wanted == theirs else findings.CONFLICT
