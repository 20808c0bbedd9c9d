"""What of one record is to be taken back, field by field, from three texts in the destination's normal form: what stood
before the run, what it wrote, and what stands now. The rules are in docs/design/rollback.md. Nothing is read here."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from revetl.destinations.base import DestinationField, RecordMatch
from revetl.destinations.capabilities import PublishesRuns, write_only
from revetl.model import ERASED, EXISTED, RunRecord, Scalar, Status
from revetl.state.sync_tables import SyncTables
from revetl.sync import merged_records, typed_text
from revetl.sync.plan import multi_select
from revetl.sync.plan.policies import allows
from revetl.sync.readback import KnownRow, NormalForms
from revetl.sync.rollback.verdicts import EDITED_THERE, RollbackVerdict
from revetl.sync.vacated_fields import VacatedField

# The destination's clock and ours may differ by this much before a record counts as older than the run.
_CLOCK_SKEW = timedelta(minutes=5)

CREATED = "created by that run: --archive-created archives it"
STOOD_ALREADY = "stood there when that run's create arrived, which changed it: what it held before is not known"
CREATED_AND_EDITED = "created by that run and edited since: not archived"
ARCHIVED = "archived by that run: a person can restore it there; --recreate-archived makes it anew"
ERASED_FOR_GOOD = "erased for good by that run: nobody can bring it back, and no run makes it anew"
GONE = "not there any more: archived or deleted since"
NOT_CREATED = "the run got no answer, and it was not created"
NOT_KEPT = "the run did not keep what stood there"
AS_BEFORE = "stands as before the run"
EDITED = "every field that it changed was edited or written since"
EMPTIED_SINCE = "emptied since by run {}, which did not end: roll that one back first"
NO_STEP_BACK = "the destination takes no step back"
NO_COLUMN = "its column has left the model"
UNSEEN_DOUBT = "in doubt, and the destination can't be read"
UNSEEN_DOUBLE = "made anew it could stand there twice, and the destination can't be searched"
UNSEEN_BEFORE = "nothing of ours stood there before, and the destination can't be read"


@dataclass(frozen=True, slots=True)
class RollbackChoices:
    """What of the run is taken back. No keys: all records. `links`: those that it made are removed; else they are left
    to the next sync of a mended model."""

    keys: tuple[str, ...] = ()
    archive_created: bool = False
    recreate_archived: bool = False
    links: bool = False


def match_value(row: KnownRow, match_on: str) -> Scalar:
    kept = typed_text.load(row["earlier"] if row["op"] == "delete" else row["written"])
    value: Scalar = kept.get(match_on)
    return value


class RollbackJudge:
    """Decides on one record after the other; holds no records."""

    def __init__(
        self,
        tables: SyncTables,
        forms: NormalForms,
        undone: RunRecord,
        choices: RollbackChoices,
        described: Mapping[str, DestinationField],
    ) -> None:
        self._described = described
        self._multi = multi_select.names(tables.spec, described)
        self._tables, self._forms, self._undone, self._choices = tables, forms, undone, choices
        self._fields = {f.name: (i, f) for i, f in enumerate(tables.fields)}
        self._unseen = write_only(forms.destination)
        # Who is given a run's whole rows was given the nulls too; elsewhere a null of ours may hide a person's value.
        self._knows_nulls = not self._unseen or isinstance(forms.destination, PublishesRuns)

    def record(
        self,
        row: KnownRow,
        match: RecordMatch | None,
        by_value: Mapping[str, RecordMatch],
        foreign: Collection[str] = (),
    ) -> Iterator[RollbackVerdict]:
        """The rows of `rollback__<sync>` for one record: one for itself, one per field that the run changed. `foreign`:
        ids that lead to what stands there and were never ours (`merged_records.find_foreign`). `row` has beside its
        columns `vacated`: field → what we emptied there and have not filled since."""
        changed = list(json.loads(row["changed_fields"] or "[]"))
        if row["op"] == "delete" and self._was_erased(row):
            yield self._left(row, ERASED_FOR_GOOD)
            return
        if row["op"] == "delete":
            yield from self._archived(row, match, by_value)
            return
        if match is None and row["destination_id"] is None:
            match = self._by_value(row, by_value)
        if row["op"] == "update" and not changed:
            return  # adopted as it stood: nothing was written
        if match is None:
            yield self._absent(row)
            return
        reason = self._out_of_reach(row, match)
        if reason is not None:
            yield self._left(row, reason)
        elif row["op"] == "create":
            yield self._created(row, match, changed, foreign)
        else:
            yield from self._updated(row, match, changed)

    def unseen(self, row: KnownRow, repeatable: bool) -> Iterator[RollbackVerdict]:
        """As `record`, where nothing can be read there: what stands is taken to be what was sent last, as the snapshot
        has it. Left alone is what that would not be sound for: a record in doubt, a field that held no value of ours, a
        record that may be there again and that making anew could double."""
        if row["known"] and row["in_doubt"]:
            yield self._left(row, UNSEEN_DOUBT)
            return
        if row["op"] == "delete" and self._choices.recreate_archived and not repeatable:
            yield self._left(row, UNSEEN_DOUBLE)
            return
        match = None
        if row["known"] and row["now_id"] is not None:
            fields = {name: row[f"now__{i}"] for name, (i, _) in self._fields.items()}
            match = RecordMatch(row["now_id"], fields)
        elif row["op"] != "delete":
            yield self._left(row, "not known by an id to this sync any more")
            return
        yield from self.record(row, match, {})

    def _was_erased(self, row: KnownRow) -> bool:
        """An answer may be lost with its code; then what the sync does today tells it, since a sync erases and a
        rollback never does."""
        return row["error_code"] == ERASED or (self._tables.spec.erases and self._undone.undoes is None)

    def _absent(self, row: KnownRow) -> RollbackVerdict:
        if row["destination_id"] is None:
            return self._left(row, NOT_CREATED)
        if row["now_id"] not in (None, row["destination_id"]):
            return self._left(row, f"known under the id {row['now_id']} today")
        if row["op"] == "create" and self._choices.archive_created:
            # By an archive of ours that got no answer, or by a person: asked for either way, and not to be made again.
            return self._verdict(row, None, "gone", "is not there any more")
        return self._left(row, GONE)

    def _updated(self, row: KnownRow, match: RecordMatch, changed: Sequence[str]) -> Iterator[RollbackVerdict]:
        earlier, written = typed_text.load(row["earlier"]), typed_text.load(row["written"])
        sent: list[str] = []
        stale = bool(row["in_doubt"])
        decided: list[RollbackVerdict] = []
        for name in changed:
            multi = name in self._multi and not self._unseen
            verdict = (self._options if multi else self._field)(row, match, name, earlier, written)
            decided.append(verdict)
            if verdict.verdict == "restore":
                sent.append(name)
            elif verdict.verdict == "already":
                index = self._fields[name][0]
                stale = stale or self._forms.of(name, row[f"now__{index}"]) != self._forms.of(name, earlier.get(name))
        yield from decided
        found = {name: match.fields.get(name) for name in sent}
        instead = {v.field: v.sent or None for v in decided if v.sent is not None}
        if sent:
            overall, reason = "restore", None
        elif any(v.verdict == "already" for v in decided):
            # Nothing to send; the state here is put right only where it says something else.
            overall, reason = ("already", None) if stale else ("left", AS_BEFORE)
        else:
            reasons = {v.reason for v in decided}
            overall, reason = "left", (reasons.pop() if len(reasons) == 1 else EDITED)
        yield self._verdict(
            row, match, overall, reason, changed_fields=json.dumps(sent, separators=(",", ":")),
            found=json.dumps(found, default=str) if sent else None,
            sent=json.dumps(instead, separators=(",", ":")) if instead else None,
        )  # fmt: skip

    def _field(
        self, row: KnownRow, match: RecordMatch, name: str, earlier: Mapping[str, Any], written: Mapping[str, Any]
    ) -> RollbackVerdict:
        stood, wrote, stands = earlier.get(name), written.get(name), match.fields.get(name)
        texts = {
            "field": name,
            "earlier": _for_people(stood),
            "written": _for_people(wrote),
            "stands": _for_people(stands),
        }

        def verdict(word: str, reason: str | None = None, **more: Any) -> RollbackVerdict:
            return self._verdict(row, match, word, reason, **{**texts, **more})

        if name not in self._fields:
            return verdict("left", NO_COLUMN)
        if name not in earlier:
            return verdict("left", NOT_KEPT)
        if stood is None and not self._knows_nulls:
            return verdict("left", UNSEEN_BEFORE)
        index, column = self._fields[name]
        try:
            value, wrote_typed = typed_text.fit(column.type, stood), typed_text.fit(column.type, wrote)
        except ValueError as e:
            return verdict("left", f"the earlier value {e}, the type of the column")
        now, form = self._forms.of(name, stands), self._forms.of
        if now == form(name, value):
            last_sent = form(name, row[f"now__{index}"])
            if row["status"] == Status.ACCEPTED and last_sent == form(name, wrote_typed) != now:
                # What the run wrote may be on its way still: the earlier value has to be sent after it.
                if self._is_no_way_back(name, form(name, wrote_typed), form(name, value), value):
                    return verdict("left", NO_STEP_BACK)
                return verdict("restore", earlier=typed_text.text(value))
            return verdict("already", earlier=typed_text.text(value))
        vacated = self._vacated(row, name, now)
        held = now if vacated is None else self._form_of_kept(name, vacated.stood)
        if held == form(name, wrote_typed) or (vacated is not None and held == form(name, value)):
            if self._is_no_way_back(name, now, form(name, value), value):
                return verdict("left", NO_STEP_BACK)
            return verdict("restore", earlier=typed_text.text(value))
        if vacated is not None:
            return verdict("left", EMPTIED_SINCE.format(vacated.run_id))
        if now == form(name, row[f"now__{index}"]):
            return verdict("left", f"written since by run {row['now_run']}")
        return verdict("left", EDITED_THERE, earlier=typed_text.text(value), written=typed_text.text(wrote_typed))

    def _vacated(self, row: KnownRow, name: str, now: str) -> VacatedField | None:
        """What was emptied by a run of ours in a field that stands empty. None too where we know that it was given its
        value afterwards: then a person emptied it."""
        vacated: VacatedField | None = row["vacated"].get(name)
        if vacated is None or now != "":
            return None
        known = self._forms.of(name, row[f"now__{self._fields[name][0]}"])
        given = not row["in_doubt"] and known != "" and known == self._form_of_kept(name, vacated.given)
        return None if given else vacated

    def _form_of_kept(self, name: str, kept: Any) -> str:
        """Of a value as outcomes keep it."""
        try:
            return self._forms.of(name, typed_text.fit(self._fields[name][1].type, kept))
        except ValueError:  # the column can't hold it: it equals nothing that it held
            return repr(kept)

    def _is_no_way_back(self, name: str, now: str, form: str, value: Scalar) -> bool:
        """Whether the destination would not go there from what stands: it goes only forward, or has no such option any
        more, of which the whole record would be refused. Emptying is no step back."""
        there = self._described.get(name)
        if there is None or not there.only_forward or value is None or value == "":
            return False
        gone = bool(there.options) and form not in there.options
        return gone or not allows("forward_only", there, now, form)

    def _options(
        self, row: KnownRow, match: RecordMatch, name: str, earlier: Mapping[str, Any], written: Mapping[str, Any]
    ) -> RollbackVerdict:
        """Of a multi-select only the run's own step is taken back: options that people added or took away since stay as
        they are. `earlier` becomes what was ours before, `sent` what is to stand there."""
        if name not in self._fields or name not in earlier:
            return self._field(row, match, name, earlier, written)
        stood, wrote, stands = earlier[name], written.get(name), match.fields.get(name)
        ours = row[f"now__{self._fields[name][0]}"]
        back = multi_select.moved(stands, wrote, stood)
        shown = {"field": name, "written": _for_people(wrote), "stands": _for_people(stands)}
        own, old, sent = (multi_select.options(value).keys() for value in (ours, stood, wrote))
        if not (own <= sent and (sent - old) <= own):
            since = f"written since by run {row['now_run']}"
            return self._verdict(row, match, "left", since, earlier=_for_people(stood), **shown)
        shown["earlier"] = multi_select.moved(ours, wrote, stood)
        form = self._forms.of
        # What the run wrote may be on its way still: the earlier value has to be sent after it.
        late = row["status"] == Status.ACCEPTED and form(name, stands) != form(name, wrote)
        if form(name, back) == form(name, stands) and not late:
            return self._verdict(row, match, "already", **shown)
        return self._verdict(row, match, "restore", sent=back or "", **shown)

    def _created(
        self, row: KnownRow, match: RecordMatch, changed: Sequence[str], foreign: Collection[str]
    ) -> RollbackVerdict:
        if row["error_code"] == EXISTED:
            return self._left(row, STOOD_ALREADY, match)
        if not self._choices.archive_created:
            return self._left(row, CREATED, match)
        if not self._unseen and merged_records.was_merged(row["destination_id"], match, foreign):
            return self._left(row, merged_records.HOLDS_ANOTHER.format(match.destination_id), match)
        if match.created_at is not None and match.created_at < self._undone.started_at - _CLOCK_SKEW:
            return self._left(row, "stood there before that run began: not archived", match)
        written = typed_text.load(row["written"])
        for name, (_, column) in self._fields.items():
            try:
                wrote = typed_text.fit(column.type, written.get(name) if name in changed else None)
            except ValueError:
                wrote = repr(written.get(name))
            now = self._forms.of(name, match.fields.get(name))
            if now != self._forms.of(name, wrote) and self._vacated(row, name, now) is None:
                return self._left(row, CREATED_AND_EDITED, match)
        found = {name: value for name, value in match.fields.items() if name in self._fields}
        return self._verdict(row, match, "archive", changed_fields="[]", found=json.dumps(found, default=str))

    def _archived(
        self, row: KnownRow, match: RecordMatch | None, by_value: Mapping[str, RecordMatch]
    ) -> Iterator[RollbackVerdict]:
        if match is not None:
            # The delete that had nothing to do names the record that is left, so the ids alone do not tell.
            merged = match.former_ids or match.destination_id != row["destination_id"]
            said = "merged into record {} there" if merged else "stands there again as {}"
            yield self._left(row, said.format(match.destination_id), match)
            return
        if not self._choices.recreate_archived:
            yield self._left(row, ARCHIVED)
            return
        again = self._by_value(row, by_value)
        if again is not None:
            yield self._left(row, f"stands there again as {again.destination_id}", again)
            return
        if row["known"]:
            yield self._left(row, "known to this sync again")
            return
        earlier = typed_text.load(row["earlier"])
        values: dict[str, str | None] = {}
        for name, (_, column) in self._fields.items():
            try:
                values[name] = typed_text.text(typed_text.fit(column.type, earlier.get(name)))
            except ValueError:
                values[name] = None
        sent = [name for name, value in values.items() if value is not None]
        if not sent or (self._tables.spec.match_on and not values.get(self._tables.spec.match_on)):
            yield self._left(row, NOT_KEPT)
            return
        for name in sent:
            yield self._verdict(row, None, "restore", field=name, earlier=values[name])
        yield self._verdict(row, None, "recreate", changed_fields=json.dumps(sent, separators=(",", ":")))

    def _by_value(self, row: KnownRow, by_value: Mapping[str, RecordMatch]) -> RecordMatch | None:
        match_on = self._tables.spec.match_on
        value = None if match_on is None else match_value(row, match_on)
        return None if match_on is None or value is None else by_value.get(self._forms.of(match_on, value))

    def _out_of_reach(self, row: KnownRow, match: RecordMatch) -> str | None:
        """Why the record is no longer ours to restore."""
        merged = row["destination_id"] is not None and match.destination_id != row["destination_id"]
        if merged and not self._is_main(row, match):
            return f"merged into record {match.destination_id} there"
        if row["holder"] is not None:
            return f"belongs to key {row['holder']} today"
        if not row["known"]:
            return "not known to this sync any more"
        if not merged and row["now_id"] is not None and row["now_id"] != match.destination_id:
            return f"known under the id {row['now_id']} today"
        return None

    def _is_main(self, row: KnownRow, match: RecordMatch) -> bool:
        """Of a record that was merged: whether its main `match_on` value is ours. Another went into it then, not it
        into another; the vendor may have given it a new id all the same."""
        match_on = self._tables.spec.match_on
        if self._unseen or match_on is None or match_on not in self._fields:
            return False  # unseen: what is known by another id today is another record
        stands = match.fields.get(match_on)
        known = row[f"now__{self._fields[match_on][0]}"]
        return stands is not None and self._forms.of(match_on, stands) == self._forms.of(match_on, known)

    def _left(self, row: KnownRow, reason: str, match: RecordMatch | None = None) -> RollbackVerdict:
        return self._verdict(row, match, "left", reason)

    def _verdict(
        self, row: KnownRow, match: RecordMatch | None, verdict: str, reason: str | None = None, **more: Any
    ) -> RollbackVerdict:
        id_ = None if verdict == "recreate" else match.destination_id if match else row["destination_id"]
        return RollbackVerdict(self._undone.run_id, row["key"], id_, more.pop("field", None), verdict, reason, **more)


def _for_people(value: Any) -> str | None:
    """A value for people who read `rollback__<sync>`."""
    return None if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
