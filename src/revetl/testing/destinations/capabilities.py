"""What a connector may add to the core, where it does: looking up, reading back, links, jobs, events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import pytest

from revetl.destinations.base import Pair
from revetl.destinations.capabilities import HasQuota, Links, LooksUp, LooksUpIds, ReadsBack, RunsJobs
from revetl.errors import Rejected
from revetl.model import Change, Operation, Outcome, Status
from revetl.testing.clocks import watched
from revetl.testing.destinations.harness import TAKEN, DestinationHarness, SuiteBench, on_bench


def _without(capability: str) -> NoReturn:
    pytest.skip(f"the connector does not have {capability}")


class CapabilityTests(DestinationHarness):
    @on_bench
    async def test_look_up_finds_what_stands_and_nothing_else(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if not isinstance(destination, LooksUp):
                _without("LooksUp")
            assert self.match_on, "a connector that looks up is tested with a `match_on`"
            changes = bench.creates(3)[: destination.limits(self.object).batch_rows]
            made = await bench.write(destination, changes)
            absent = bench.create(900).match_value
            values = [*(c.match_value for c in changes), absent][: destination.limits(self.object).lookup_rows]
            found = await destination.look_up(self.object, self.match_on, values, [self.text])
            forms = {destination.normalise(self.object, self.match_on, c.match_value): c for c in changes}
            assert set(found) == set(forms) & {destination.normalise(self.object, self.match_on, v) for v in values}
            for form, match in found.items():
                change = forms[form]
                assert match.destination_id == made[change.ordinal].destination_id
                assert set(match.fields) >= {self.text}
                stored = destination.normalise(self.object, self.text, match.fields[self.text])
                assert stored == destination.normalise(self.object, self.text, change.fields[self.text])
            assert dict(await destination.look_up(self.object, self.match_on, [absent], [self.text])) == {}

    @on_bench
    async def test_look_up_takes_the_ids_that_the_destination_gave(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if not isinstance(destination, LooksUpIds) or not isinstance(destination, LooksUp):
                _without("LooksUpIds")
            name = destination.id_field(self.object)
            assert (await destination.describe(self.object)).fields[name].read_only
            made = (await bench.write(destination, [bench.create(1)]))[1]
            await self.apply_accepted(bench.vendor)
            assert made.destination_id is not None
            found = await destination.look_up(self.object, name, [made.destination_id], [self.text])
            form = destination.normalise(self.object, name, made.destination_id)
            assert {f: m.destination_id for f, m in found.items()} == {form: made.destination_id}

    @on_bench
    async def test_look_up_finds_values_that_need_escaping(self, bench: SuiteBench) -> None:
        """A `+`, a space and a letter that is not ASCII: a record that the vendor takes with such a value is found by
        it, and a value that it refuses is looked for without an error."""
        async with bench.connected() as destination:
            if not isinstance(destination, LooksUp):
                _without("LooksUp")
            assert self.match_on, "a connector that looks up is tested with a `match_on`"
            made: dict[str, Outcome] = {}
            values: list[str] = []
            for n, special in enumerate(("+news", " two", "ö")):
                fields = self.fields(n)
                local, at, domain = str(fields[self.match_on]).partition("@")
                fields[self.match_on] = value = f"{local}{special}{at}{domain}"
                change = bench.create(n, fields=fields)
                try:
                    form = destination.normalise(self.object, self.match_on, value)
                    outcome = (await bench.write(destination, [change]))[n]
                except (Rejected, ValueError):
                    continue
                values.append(value)
                if outcome.status in TAKEN:
                    made[form] = outcome
            await self.apply_accepted(bench.vendor)
            for start in range(0, len(values), rows := destination.limits(self.object).lookup_rows):
                asked = values[start : start + rows]
                found = await destination.look_up(self.object, self.match_on, asked, [self.text])
                forms = {destination.normalise(self.object, self.match_on, v) for v in asked}
                assert set(found) == forms & set(made)
                for form, match in found.items():
                    if made[form].status is Status.OK:
                        assert match.destination_id == made[form].destination_id
            if not made:
                pytest.skip("the vendor takes no record with such a value")

    @on_bench
    async def test_look_up_takes_exactly_its_limit(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if not isinstance(destination, LooksUp):
                _without("LooksUp")
            made = bench.create(0)
            await bench.write(destination, [made])
            rows = destination.limits(self.object).lookup_rows
            values = [made.match_value, *(bench.create(n).match_value for n in range(1, rows))]
            found = await destination.look_up(self.object, str(self.match_on), values, [])
            assert len(found) == 1

    @on_bench
    async def test_read_back_gives_what_stands_now(self, bench: SuiteBench) -> None:
        """By the id that was asked for; what is gone is absent."""
        async with bench.connected() as destination:
            if not isinstance(destination, ReadsBack):
                _without("ReadsBack")
            changes = bench.creates(2)[: destination.limits(self.object).batch_rows]
            made = await bench.write(destination, changes)
            ids = [str(made[c.ordinal].destination_id) for c in changes]
            found = await destination.read_back(self.object, ids, [self.text])
            assert set(found) == set(ids)
            for id_, change in zip(ids, changes, strict=True):
                assert found[id_].destination_id == id_
                stored = destination.normalise(self.object, self.text, found[id_].fields[self.text])
                assert stored == destination.normalise(self.object, self.text, change.fields[self.text])
            delete = changes[-1]._replace(op=Operation.DELETE, destination_id=ids[-1], fields={})
            if (await bench.write(destination, [delete]))[delete.ordinal].status is Status.OK:
                assert set(await destination.read_back(self.object, ids, [self.text])) == set(ids[:-1])

    @on_bench
    async def test_read_back_of_a_merged_record_gives_the_survivor(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if not isinstance(destination, ReadsBack):
                _without("ReadsBack")
            made: dict[int, Outcome] = {}
            for change in bench.creates(2):  # one call each: some take no more
                made |= await bench.write(destination, [change])
            survivor, merged = (str(made[n].destination_id) for n in (0, 1))
            if not await self.merge(bench.vendor, survivor, merged):
                pytest.skip("`merge` says that the vendor merges no records")
            found = await destination.read_back(self.object, [merged, survivor], [self.text])
            ids = {asked: match.destination_id for asked, match in found.items()}
            # Some vendors keep the survivor's id, others give a new one.
            left = ids[survivor]
            assert ids == {merged: left, survivor: left}
            assert (await destination.read_back(self.object, [left], [self.text]))[left].destination_id == left

    @on_bench
    async def test_links_are_made_once_and_removed(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if not isinstance(destination, Links):
                _without("Links")
            case = self.links
            assert case is not None, "`links`: say what a record can be linked to"
            assert case.type in await destination.link_types(self.object, case.to_object)
            ours = await bench.write(destination, bench.creates(2)[: destination.limits(self.object).batch_rows])
            sent = dict(case.fields(0))
            other = bench.create(0, fields=sent)._replace(match_value=sent.get(case.match_on or ""))
            await destination.describe(case.to_object)
            [made] = await destination.write(case.to_object, case.match_on, [other])
            assert made.status in TAKEN
            ids = [str(o.destination_id) for o in ours.values()]
            to = str(made.destination_id)
            pairs = [Pair(ordinal, id_, to, alone=True) for ordinal, id_ in zip((31, 7), ids, strict=False)]
            for _ in range(2):  # a link that stands is no news
                outcomes = await destination.link(self.object, case.to_object, case.type, pairs)
                assert {o.ordinal: o.status for o in outcomes} == {p.ordinal: Status.OK for p in pairs}
                assert len(outcomes) == len(pairs)
            standing = await destination.links_of(self.object, case.to_object, ids)
            assert {id_: set(standing.get(id_, ())) for id_ in ids} == {id_: {to} for id_ in ids}
            assert all(case.type in standing[id_][to] for id_ in ids)
            for _ in range(2):  # one that is not there counts as removed
                outcomes = await destination.unlink(self.object, case.to_object, case.type, pairs[:1])
                assert [(o.ordinal, o.status) for o in outcomes] == [(31, Status.OK)]
            standing = await destination.links_of(self.object, case.to_object, ids)
            assert not standing.get(ids[0])
            assert all(set(standing[id_]) == {to} for id_ in ids[1:])

    @on_bench
    async def test_unlinking_takes_one_kind_and_leaves_the_others(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if not isinstance(destination, Links):
                _without("Links")
            case = self.links
            assert case is not None, "`links`: say what a record can be linked to"
            [ours] = (await bench.write(destination, bench.creates(1))).values()
            sent = dict(case.fields(0))
            other = bench.create(0, fields=sent)._replace(match_value=sent.get(case.match_on or ""))
            await destination.describe(case.to_object)
            [made] = await destination.write(case.to_object, case.match_on, [other])
            from_id, to = str(ours.destination_id), str(made.destination_id)
            implied = await destination.implied_type(self.object, case.to_object)
            kinds = sorted(await destination.link_types(self.object, case.to_object))
            if len(kinds) == 1:
                pytest.skip("there is one kind of link")
            one = next(kind for kind in kinds if kind != implied)
            [theirs] = [kind for kind in kinds if kind != one][:1]

            async def stands() -> frozenset[int]:
                found = await destination.links_of(self.object, case.to_object, [from_id])
                return found.get(from_id, {}).get(to, frozenset())

            for kind in (theirs, one):
                await destination.link(self.object, case.to_object, kind, [Pair(1, from_id, to)])
            before = await stands()
            assert {theirs, one} <= before
            await destination.unlink(self.object, case.to_object, one, [Pair(1, from_id, to)])
            assert await stands() == before - {one}
            if implied is not None:
                await destination.link(self.object, case.to_object, one, [Pair(1, from_id, to)])
                [kept] = await destination.unlink(self.object, case.to_object, implied, [Pair(1, from_id, to, True)])
                assert (kept.status, await stands()) == (Status.OK, before), "another kind leans on it"

    @on_bench
    async def test_a_job_is_followed_by_another_process(self, bench: SuiteBench) -> None:
        """With nothing but its id and the changes. Outcomes are as those of `write`; asking again changes nothing."""
        async with bench.connected() as destination:
            if not isinstance(destination, RunsJobs):
                _without("RunsJobs")
            changes = bench.creates(min(destination.limits(self.object).job_rows, 5))
            with watched() as seen:
                job_id = await destination.submit(self.object, self.match_on, changes)
        async with bench.connected() as destination:
            outcomes = await self._followed(bench, destination, job_id, changes, seen)
            again = await self._followed(bench, destination, job_id, changes, seen)
        assert seen == [], "time and secrets were handed in"
        found = await bench.standing()
        assert len(found) == len(changes)
        for change in changes:
            outcome = outcomes[change.ordinal]
            assert outcome.status in TAKEN
            assert again[change.ordinal].status == outcome.status
            if outcome.status is Status.OK:
                assert str(outcome.destination_id) == bench.stands(found, change.ordinal).id

    @on_bench
    async def test_a_refused_record_of_a_job_costs_no_other(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if not isinstance(destination, RunsJobs):
                _without("RunsJobs")
            changes = bench.creates(min(destination.limits(self.object).job_rows, 5))
            changes[1] = bench.create(1, fields=bench.poisoned(1))
            job_id = await destination.submit(self.object, self.match_on, changes)
            outcomes = await self._followed(bench, destination, job_id, changes, [])
        assert outcomes.pop(1).status is Status.REJECTED
        assert {o.status for o in outcomes.values()} <= set(TAKEN)
        assert len(await bench.standing()) == len(changes) - 1

    async def _followed(
        self, bench: SuiteBench, destination: object, job_id: str, changes: Sequence[Change], seen: list[str]
    ) -> dict[int, Outcome]:
        """The job's outcomes, once it has ended: asked after as the engine does. `seen` takes what a question did that
        it may not."""
        assert isinstance(destination, RunsJobs)
        for _ in range(200):
            with watched() as asked:
                outcomes = await destination.follow(self.object, job_id, changes)
            seen += asked
            if outcomes is not None:
                assert sorted(o.ordinal for o in outcomes) == sorted(c.ordinal for c in changes)
                return {o.ordinal: o for o in outcomes}
            await bench.clock.sleep(30)
        raise AssertionError("the job never ends")

    @on_bench
    async def test_events_say_by_what_they_are_known(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            schema = await destination.describe(self.object)
            if schema.kind != "events":
                pytest.skip("its object is made of records")
            if schema.event_id is None:
                assert not destination.idempotent(self.object, self.match_on), "nothing tells a repeated event"
                return
            assert schema.event_id in schema.fields
            assert self.match_on == schema.event_id
            assert destination.idempotent(self.object, schema.event_id)

    @on_bench
    async def test_quota_is_told_without_a_request(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if not isinstance(destination, HasQuota):
                _without("HasQuota")
            before = len(bench.wire.requests)
            destination.quota(self.object, self.match_on)
            assert len(bench.wire.requests) == before
