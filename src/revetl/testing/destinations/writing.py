"""What every `write` must do: one outcome per change, a bad record costs no other, a repeat makes no second one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from revetl.destinations.base import Destination
from revetl.errors import Rejected
from revetl.model import Change, Operation, Outcome, Status
from revetl.testing.clocks import watched
from revetl.testing.destinations.harness import TAKEN, DestinationHarness, StoredRecord, SuiteBench, on_bench


class WriteTests(DestinationHarness):
    @on_bench
    async def test_opening_asks_the_vendor_nothing(self, bench: SuiteBench) -> None:
        async with self.connect(bench.vendor, bench.wire, bench.clock):
            assert bench.wire.requests == []

    @on_bench
    async def test_check_says_a_line_for_people(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            said = await destination.check()
        assert said.strip()
        assert "\n" not in said
        assert self.token not in said

    @on_bench
    async def test_a_batch_of_exactly_the_limit_is_taken_whole(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            limits = destination.limits(self.object)
            assert limits.batch_rows >= 1
            assert limits.concurrency >= 1
            changes = bench.creates(limits.batch_rows)
            outcomes = await bench.write(destination, changes)
            assert {o.status for o in outcomes.values()} <= set(TAKEN)
            found = await bench.standing()
            assert len(found) == len(changes)
            for n in range(len(changes)):
                self._same(bench, destination, bench.stands(found, n), n, outcomes[n])

    @on_bench
    async def test_outcomes_are_attributed_by_ordinal_whatever_the_order_of_answers(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            await self.fail(bench, "shuffled")
            ordinals = [17, 3, 904, 11, 5]
            changes = [bench.create(n, ordinal) for n, ordinal in enumerate(ordinals)]
            changes = changes[: destination.limits(self.object).batch_rows]
            outcomes = await bench.write(destination, changes)
            assert {o.status for o in outcomes.values()} <= set(TAKEN)
            found = await bench.standing()
            for n, ordinal in enumerate(ordinals[: len(changes)]):
                self._same(bench, destination, bench.stands(found, n), n, outcomes[ordinal])

    @on_bench
    async def test_a_refused_record_costs_no_other(self, bench: SuiteBench) -> None:
        """Partial success: the good ones stand, the bad one is rejected by its ordinal and does not stand."""
        async with bench.connected() as destination:
            limits = destination.limits(self.object)
            size = min(limits.batch_rows, 7)
            changes = bench.creates(size)
            bad = size // 2
            changes[bad] = bench.create(bad, fields=bench.poisoned(bad))
            if limits.atomic:
                if size > 1:
                    with pytest.raises(Rejected):
                        await bench.write(destination, changes)
                assert await bench.standing() == {}, "atomic: nothing of a refused batch is applied"
                with pytest.raises(Rejected):
                    await bench.write(destination, [changes[bad]])
                changes.pop(bad)
                outcomes = await bench.write(destination, changes) if changes else {}
            else:
                outcomes = await bench.write(destination, changes)
                refused = outcomes.pop(bad)
                assert refused.status is Status.REJECTED
                assert refused.error_class
                assert refused.error_code or refused.message, "a refusal says why"
            assert {o.status for o in outcomes.values()} <= set(TAKEN)
            found = await bench.standing()
            assert bench.absent(found, bad)
            assert len(found) == size - 1

    @on_bench
    async def test_a_repeat_makes_no_second_record(self, bench: SuiteBench) -> None:
        """As after a crash: another process that remembers nothing. Only where `idempotent` says so."""
        changes = bench.creates(4)
        async with bench.connected() as destination:
            changes = changes[: destination.limits(self.object).batch_rows]
            if not destination.idempotent(self.object, self.match_on):
                pytest.skip("idempotent says that a create can't be repeated")
            first = await bench.write(destination, changes)
            again = await bench.write(destination, changes)
        async with bench.connected() as destination:
            after = await bench.write(destination, changes)
        assert {o.status for run in (first, again, after) for o in run.values()} <= set(TAKEN)
        assert len(await bench.standing()) == len(changes)
        ids = [{n: o.destination_id for n, o in run.items()} for run in (first, again, after)]
        assert ids[0] == ids[1] == ids[2]

    @on_bench
    async def test_updates_and_deletes_are_of_the_record_that_they_name(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if (await destination.describe(self.object)).kind == "events":
                pytest.skip("an event is never changed")
            changes = bench.creates(3)[: destination.limits(self.object).batch_rows]
            made = await bench.write(destination, changes)
            ids = {n: made[n].destination_id for n in made}
            match = {n: changes[n].match_value for n in made}
            update = bench.create(0)._replace(
                ordinal=40, op=Operation.UPDATE, destination_id=ids[0], fields={self.text: "Changed"}
            )
            updated = (await bench.write(destination, [update]))[40]
            assert updated.status in TAKEN
            found = await bench.standing()
            assert str(bench.stands(found, 0).fields[self.text]) == "Changed"
            for n in range(1, len(changes)):
                self._same(bench, destination, bench.stands(found, n), n, made[n])
            last = len(changes) - 1
            delete = bench.create(last)._replace(
                ordinal=41, op=Operation.DELETE, destination_id=ids[last], fields={}, match_value=match[last]
            )
            deleted = (await bench.write(destination, [delete]))[41]
            found = await bench.standing()
            if deleted.status in TAKEN:
                assert bench.absent(found, last)
            else:
                assert deleted.status is Status.REJECTED, "what can't be deleted is refused, with the reason"
                assert deleted.message
            assert len(found) == len(changes) - (deleted.status in TAKEN)

    @on_bench
    async def test_several_deletes_are_each_done_and_answered_by_name(self, bench: SuiteBench) -> None:
        """In calls of as many as the limits allow, and whatever the order of answers."""
        async with bench.connected() as destination:
            if (await destination.describe(self.object)).kind == "events":
                pytest.skip("an event is never deleted")
            limits = destination.limits(self.object)
            ordinals = [17, 3, 904, 11]
            deletes = [await self._stood(bench, destination, n, ordinals[n]) for n in range(4)]
            kept = await self._stood(bench, destination, 4, 5)
            await self.fail(bench, "shuffled")
            size = limits.write_rows(Operation.DELETE)
            outcomes: dict[int, Outcome] = {}
            for start in range(0, len(deletes), size):
                outcomes |= await bench.write(destination, deletes[start : start + size])
            bench.wire.mend()
        found = await bench.standing()
        self._same(bench, destination, bench.stands(found, 4), 4, Outcome(5, Status.OK, kept.destination_id))
        for n, delete in enumerate(deletes):
            outcome = outcomes[delete.ordinal]
            gone = bench.absent(found, n)
            assert gone == (outcome.status in TAKEN), f"delete {n}: {outcome.status}, and the record is gone: {gone}"
            if outcome.status is Status.OK:
                assert str(outcome.destination_id) == str(delete.destination_id), "answered for by its own id"
            assert outcome.status in TAKEN or outcome.message, "what can't be deleted is refused, with the reason"

    @on_bench
    async def test_a_delete_of_what_is_gone_is_no_refusal(self, bench: SuiteBench) -> None:
        """It is what was wanted: after a lost answer the repeat finds the record gone."""
        async with bench.connected() as destination:
            if (await destination.describe(self.object)).kind == "events":
                pytest.skip("an event is never deleted")
            delete, other = [await self._stood(bench, destination, n, n) for n in range(2)]
            if (await bench.write(destination, [other]))[1].status not in TAKEN:
                pytest.skip("its records can't be deleted")
            await self.fail(bench, "lost_once")
            lost = (await bench.write_or_lose(destination, [delete]))[0]
            assert lost.status in (*TAKEN, Status.UNKNOWN), "it was not refused: its answer was lost"
            bench.wire.mend()
            again = (await bench.write(destination, [delete]))[0]
        assert again.status in TAKEN
        assert await bench.standing() == {}

    async def _stood(self, bench: SuiteBench, destination: Destination, n: int, ordinal: int) -> Change:
        """The n-th record is created; the change that deletes it."""
        create = bench.create(n, ordinal)
        made = (await bench.write(destination, [create]))[ordinal]
        assert made.status in TAKEN
        return create._replace(op=Operation.DELETE, destination_id=made.destination_id, fields={})

    @on_bench
    async def test_write_neither_sleeps_nor_reads_the_environment(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            size = min(destination.limits(self.object).batch_rows, 3)
            with watched() as seen:
                await bench.write(destination, bench.creates(size))
                await bench.write(destination, bench.creates(size, start=size))
        assert seen == [], "time and secrets were handed in"

    @on_bench
    async def test_normalise_is_idempotent_and_agrees_with_what_the_vendor_stores(self, bench: SuiteBench) -> None:
        assert self.identity not in self.values(), (
            f"`values` names {self.identity!r}, which is the identity: a record is found again by its own value of it."
            " Leave it out: the suite compares that field by itself"
        )
        samples = [(name, value) for name, values in self.values().items() for value in values]
        # What a record is found by, as somebody else may have typed it.
        samples.append((self.identity, str(self.fields(len(samples))[self.identity]).swapcase()))
        async with bench.connected() as destination:
            size = destination.limits(self.object).batch_rows
            changes = [
                bench.create(n, n % size, {**self.fields(n), name: value}) for n, (name, value) in enumerate(samples)
            ]
            for start in range(0, len(changes), size):
                outcomes = await bench.write(destination, changes[start : start + size])
                assert {o.status for o in outcomes.values()} <= set(TAKEN), "`values` are to be ones that it takes"
            found = await bench.standing()
            for n, (name, value) in enumerate(samples):
                sent = destination.normalise(self.object, name, value)
                assert destination.normalise(self.object, name, sent) == sent, f"{name}: {value!r}"
                stored = bench.stands(found, n).fields.get(name)
                assert destination.normalise(self.object, name, stored) == sent, f"{name}: {value!r} → {stored!r}"

    def _same(
        self, bench: SuiteBench, destination: Destination, record: StoredRecord, n: int, outcome: Outcome
    ) -> None:
        """The record is the n-th, holds what was sent, and the outcome names it."""
        if outcome.status is Status.OK:
            assert str(outcome.destination_id) == record.id, "the outcome's id is the vendor's id of this record"
        sent: Mapping[str, Any] = self.fields(n)
        for name, value in sent.items():
            stored = destination.normalise(self.object, name, record.fields.get(name))
            assert stored == destination.normalise(self.object, name, value), f"{name} of record {n}"
