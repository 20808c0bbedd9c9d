"""What must stand at the destination, worked out for one key at a time in plain values: no SQL, no plan, no batches.

After a crash nobody knows how far a run came, so the oracle holds a set of worlds and every step maps each of them to
those that may follow; what is then seen at the destination leaves only the ones that fit. None left is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Row = tuple[str | None, ...]  # in the order of the fields; the first is the identity, which does not change
Op = Literal["create", "adopt", "update", "delete"]
Sent = tuple[str, frozenset[tuple[int, str | None]]] | None  # what the destination is asked for, null for nothing

DOUBT: Row = ("in doubt",)
REJECTED, ACCEPTED, ROLLED_BACK = "rejected", "accepted", "rolled_back"
OUTSIDE = "rejected for what lies outside of the row"
REFUSED = (REJECTED, OUTSIDE)


class World(NamedTuple):
    """One record as it may be. `there`: what stands at the destination. `known`: what we believe to stand there;
    `from_row`: the source row with which we came to believe it, or DOUBT; `linked`: we know its id. `queued`: a source row
    (None: that there is none) that was not sent, and why; for a cause outside of it, it is sent again by itself. `accepted`: of an accepted record the fields whose value
    there was accepted; None: all that differs. `last`: what the newest run wrote, as (field, earlier,
    written); None where it is nothing that a rollback would take back. `replaced`: the id that we know leads nowhere,
    and what stands there was made again by somebody else. `held`: (field, value) pairs: a person had edited the field when
    the run that wrote the value was rolled back, and as long as the row says so it is not sent."""

    there: Row | None = None
    known: Row | None = None
    from_row: Row | None = None
    linked: bool = False
    queued: tuple[Row | None, str] | None = None
    accepted: frozenset[int] | None = None
    last: tuple[tuple[int, str | None, str | None], ...] | None = None
    replaced: bool = False
    held: frozenset[tuple[int, str | None]] = frozenset()

    @property
    def by_id(self) -> Row | None:
        """What stands under the id that we know."""
        return None if self.replaced else self.there


@dataclass(frozen=True)
class Rules:
    """Of one history. `fill_blank`: fields that are written only where nothing stands. `poison`: a value that the
    destination refuses. `missing`: values that it refuses until they are added there. `emptied`: the model
    has no row at all, as after a build that failed."""

    mirror: bool = False
    fill_blank: frozenset[int] = frozenset()
    poison: str = "bad"
    missing: frozenset[str] = frozenset()
    emptied: bool = False

    def waits(self, w: World, row: Row | None, *, refresh: bool = False) -> bool:
        if w.queued is None or w.queued[0] != row or w.queued[1] == OUTSIDE:
            return False
        return not (refresh and w.queued[1] == REJECTED)

    def tidied(self, w: World, row: Row | None, refresh: bool) -> World:
        """A plan takes out of the queue what has nothing left to be sent; of what a person decided not a row that we
        believe to stand there: that its record is gone was accepted."""
        if w.queued is None:
            return w
        if w.queued[1] not in REFUSED and row is not None and w.queued[0] == row == w.from_row:
            return w
        if self.is_held(w, row) or (self.emptied and w.queued[1] not in REFUSED):
            return w
        freed = w._replace(queued=None, accepted=None, held=frozenset())
        plan = self.due(freed, row, refresh)
        return freed if plan is None or plan == ("update", ()) else w

    def is_held(self, w: World, row: Row | None) -> tuple[int, ...]:
        """The fields that a rollback has left to a person and that the row would still overwrite."""
        return () if row is None or w.known is None else tuple(i for i, v in enumerate(row) if (i, v) in w.held)

    def due(self, w: World, row: Row | None, refresh: bool) -> tuple[Op, tuple[int, ...]] | None:
        """What of this key a plan says, policies not yet asked; () for an update that only takes over the hash."""
        if row is None:
            gone = self.mirror and w.known is not None and not self.waits(w, None, refresh=refresh)
            return ("delete", ()) if gone else None
        if w.known is not None and w.from_row == row and not refresh:
            return None
        doubt = w.known is not None and (w.from_row == DOUBT or not w.linked)
        if w.known is not None and w.linked:
            held = self.is_held(w, row)
            changed = tuple(i for i, v in enumerate(row) if i not in held and (doubt or refresh or v != w.known[i]))
            return None if changed and self.waits(w, row, refresh=refresh) else ("update", changed)
        if self.waits(w, row, refresh=refresh):
            return None
        if w.there is None:
            return "create", tuple(i for i, v in enumerate(row) if v is not None or doubt)
        return "adopt", tuple(i for i, v in enumerate(row) if v != w.there[i] and (v is not None or doubt))

    def left(self, w: World, row: Row, changed: tuple[int, ...], refresh: bool) -> tuple[int, ...]:
        """Of the fields of an update those that are sent once it is known what stands there. In doubt all are, but for
        the identity: what answers to it is not told it again."""
        if w.there is None:
            return ()
        if w.from_row == DOUBT:
            return tuple(i for i in changed if i != 0 or w.there[i] != row[i])
        return changed if refresh else tuple(i for i in changed if w.there[i] != row[i])

    def kept(self, w: World, row: Row, changed: tuple[int, ...]) -> tuple[int, ...]:
        if w.there is None:
            return ()
        return tuple(i for i in changed if i in self.fill_blank and (row[i] is None or w.there[i] is not None))

    def attempt(self, w: World, row: Row | None, refresh: bool) -> tuple[World, Sent]:
        """What a run asks the destination for, and the world in which that is done."""
        w = self.tidied(w._replace(last=None), row, refresh)
        plan = self.due(w, row, refresh)
        if plan is None:
            return w, None
        op, changed = plan
        if op == "delete" or row is None:
            return World(there=w.there if w.replaced else None), (("delete", frozenset()) if w.by_id else None)
        if op == "update" and not changed:
            return w._replace(from_row=row), None
        source, held = row, self.is_held(w, row)
        if w.known is not None and held:
            row = tuple(w.known[i] if i in held else v for i, v in enumerate(row))
        if op == "update" and w.there is None:  # archived: looked for, not found, and withheld
            return w._replace(queued=(source, OUTSIDE), accepted=None, held=w.held if held else frozenset()), None
        if op == "update" and w.replaced:  # made again, and found by what it is looked for by
            doubt = w.from_row == DOUBT
            changed = tuple(i for i, v in enumerate(row) if v != w.there[i] and (v is not None or doubt))
        elif op == "update":
            changed = self.left(w, row, changed, refresh)
        kept = () if op == "create" else self.kept(w, row, changed)
        fields = tuple(i for i in changed if i not in kept)
        stood = w.there or (None,) * len(row)
        done = World(
            there=tuple(row[i] if i in fields else v for i, v in enumerate(stood)),
            known=tuple(stood[i] if i in kept else v for i, v in enumerate(row)),
            from_row=source,
            linked=True,
            queued=(source, ROLLED_BACK) if held else None,
            last=None if op == "create" else tuple((i, stood[i], row[i]) for i in fields),
            held=w.held if held else frozenset(),
        )
        asked = "create" if op == "create" else "update"
        return done, ((asked, frozenset((i, row[i]) for i in fields)) if fields else None)

    def refused(self, w: World, sent: Sent) -> bool:
        return sent is not None and not {v for _, v in sent[1]}.isdisjoint({self.poison, *self.missing})

    def sync(self, w: World, row: Row | None, *, refresh: bool = False) -> tuple[World, Sent]:
        """One run that comes to its end."""
        done, sent = self.attempt(w, row, refresh)
        if self.refused(w, sent):
            from_row = DOUBT if refresh and w.known is not None else w.from_row  # to be sent whole until it is accepted
            why = REJECTED if sent is not None and self.poison in [v for _, v in sent[1]] else OUTSIDE
            held = w.held if self.is_held(w, row) else frozenset[tuple[int, str | None]]()
            return w._replace(from_row=from_row, queued=(row, why), accepted=None, last=None, held=held), sent
        return done, sent

    def broken(self, w: World, row: Row | None, *, died: bool, refresh: bool = False) -> Iterator[World]:
        """All that a run may leave that did not come to its end: it died, or it was sent away."""
        yield self.sync(w, row, refresh=refresh)[0]
        for before in {w._replace(last=None), self.tidied(w._replace(last=None), row, refresh)}:
            yield from self._broken(w, before, row, died=died, refresh=refresh)

    def _broken(self, w: World, before: World, row: Row | None, *, died: bool, refresh: bool) -> Iterator[World]:
        """`before`: as it was, or as the plan left it."""
        done, sent = self.attempt(w, row, refresh)
        op = sent[0] if sent else None
        # A refresh is taken up again by the next run, whatever ended it before this record's turn.
        again = refresh and op == "update" and w.known is not None
        if again:
            yield before._replace(from_row=DOUBT)
        if died or not again:
            yield before
        if not died or sent is None:
            return
        for there in {w.there} if self.refused(w, sent) else {w.there, done.there}:
            # What an earlier create was about was looked for and is not there: the later one takes its place.
            known = done.known if op == "create" else w.known or done.known
            linked = op != "delete" and (w.linked or op == "update")
            left = before._replace(there=there, known=known, from_row=DOUBT, linked=linked, last=done.last)
            yield left
            if w.replaced:  # whether the new id had been learned
                yield left._replace(replaced=False)

    def planned(self, w: World, row: Row | None, from_row: Row | None) -> bool:
        """Whether a plan would have a line, did we believe the record to come from this row."""
        return row != from_row if row is not None else self.mirror and from_row != DOUBT

    def drift(self, w: World, row: Row | None, side: str) -> tuple[World, bool]:
        """`side`: report, accept or reassert. Also whether the record has drifted."""
        if w.known is None or not w.linked:
            return w, False
        waits = row is None or self.waits(w, row)
        if w.by_id is None:
            if w.queued is not None and w.queued[1] == ACCEPTED and waits:
                return w, False
            forgotten = w if self.holds(w, row, frozenset()) else World(there=w.there, last=w.last)
            accepted = w._replace(queued=(row, ACCEPTED), accepted=self.accepts(w, row, frozenset()))
            return {"report": w, "accept": accepted, "reassert": forgotten}[side], True
        theirs = list(w.known)
        edited = frozenset(i for i, stands in enumerate(w.by_id) if stands != w.known[i])
        drifted = resolved = False
        for i, stands in enumerate(w.by_id):
            wanted = w.known[i] if waits or row is None else row[i]
            if wanted != stands and i in self.fill_blank and (wanted is None or stands is not None):
                wanted = stands
            if stands == w.known[i]:
                continue  # pending, or all the same
            theirs[i], resolved, drifted = stands, True, drifted or wanted != stands
        if side == "report" or not resolved or (side == "reassert" and self.holds(w, row, edited)):
            return w, drifted
        believed = DOUBT if w.from_row == DOUBT else tuple(theirs)
        hold = side == "accept" and self.planned(w, row, believed)
        queued = (row, ACCEPTED) if hold else None
        accepted = self.accepts(w, row, edited) if hold else None
        held = w.held if hold else frozenset[tuple[int, str | None]]()
        return w._replace(known=tuple(theirs), from_row=believed, queued=queued, accepted=accepted, held=held), drifted

    def holds(self, w: World, row: Row | None, edited: frozenset[int]) -> bool:
        """Whether a reassert of the edited fields would send others that a rollback or an accepted value holds."""
        if w.queued is None or w.queued[1] in REFUSED or w.queued[0] != row:
            return False
        return w.accepted is None or not w.accepted <= edited

    def accepts(self, w: World, row: Row | None, edited: frozenset[int]) -> frozenset[int] | None:
        """The fields that are held, once the edited ones are accepted."""
        if w.queued is None or w.queued[1] in REFUSED or w.queued[0] != row:
            return edited
        return None if w.accepted is None else w.accepted | edited

    def rollback(self, w: World, row: Row | None) -> Iterator[tuple[World, Sent]]:
        """The newest run is taken back."""
        if not w.last or w.known is None or w.by_id is None or w.there is None:
            yield w._replace(last=None), None
            return
        known, sent, already = list(w.known), dict[int, str | None](), False
        stale = w.from_row == DOUBT
        last, held = [], set(w.held)
        for i, earlier, written in w.last:
            if w.there[i] == earlier:
                already, stale = True, stale or w.known[i] != earlier
            elif w.there[i] == written:
                sent[i] = earlier
                last.append((i, w.there[i], earlier))
            elif w.there[i] != w.known[i]:  # edited by a person
                held.add((i, written))
            else:
                continue
            known[i] = earlier
        if not sent and not (already and stale) and held == w.held:
            yield w._replace(last=None), None
            return
        there = tuple(sent.get(i, v) for i, v in enumerate(w.there))
        # Whose doubt it was, and whether the rollback may end it, is not the oracle's business.
        for from_row in {tuple(known)} | ({DOUBT} if w.from_row == DOUBT else set()):
            queued = (row, ROLLED_BACK) if self.planned(w, row, from_row) else None
            left = frozenset(held) if queued else frozenset[tuple[int, str | None]]()
            after = World(there, tuple(known), from_row, True, queued, last=tuple(last) or None, held=left)
            yield after, (("update", frozenset(sent.items())) if sent else None)
