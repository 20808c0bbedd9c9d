"""What a connector may add to the core, where it does: looking up, reading back, links."""

from __future__ import annotations

from typing import NoReturn

import pytest

from revetl.destinations.base import Pair
from revetl.destinations.capabilities import HasQuota, Links, LooksUp, ReadsBack
from revetl.model import Operation, Status
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
            changes = bench.creates(2)[: destination.limits(self.object).batch_rows]
            made = await bench.write(destination, changes)
            survivor, merged = (str(made[n].destination_id) for n in (0, 1))
            if not await self.merge(bench.vendor, survivor, merged):
                pytest.skip("`merge` says that the vendor merges no records")
            found = await destination.read_back(self.object, [merged, survivor], [self.text])
            assert {asked: match.destination_id for asked, match in found.items()} == {
                merged: survivor,
                survivor: survivor,
            }

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
            pairs = [Pair(ordinal, id_, to) for ordinal, id_ in zip((31, 7), ids, strict=False)]
            for _ in range(2):  # a link that stands is no news
                outcomes = await destination.link(self.object, case.to_object, case.type, pairs)
                assert {o.ordinal: o.status for o in outcomes} == {p.ordinal: Status.OK for p in pairs}
                assert len(outcomes) == len(pairs)
            standing = await destination.links_of(self.object, case.to_object, case.type, ids)
            assert {id_: set(standing.get(id_, ())) for id_ in ids} == {id_: {to} for id_ in ids}
            for _ in range(2):  # one that is not there counts as removed
                outcomes = await destination.unlink(self.object, case.to_object, case.type, pairs[:1])
                assert [(o.ordinal, o.status) for o in outcomes] == [(31, Status.OK)]
            standing = await destination.links_of(self.object, case.to_object, case.type, ids)
            assert not standing.get(ids[0])
            assert all(set(standing[id_]) == {to} for id_ in ids[1:])

    @on_bench
    async def test_quota_is_told_without_a_request(self, bench: SuiteBench) -> None:
        async with bench.connected() as destination:
            if not isinstance(destination, HasQuota):
                _without("HasQuota")
            before = len(bench.wire.requests)
            destination.quota(self.object, self.match_on)
            assert len(bench.wire.requests) == before
