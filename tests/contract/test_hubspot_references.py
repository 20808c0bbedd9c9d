"""A deal whose owner, pipeline and stage are named in the model as people name them."""

from __future__ import annotations

from revetl.model import FieldRule, Reference
from tests.support.hubspot_bench import portal_bench


async def test_names_become_ids_and_an_owner_who_is_not_there_yet_is_withheld_and_tried_again() -> None:
    async with portal_bench() as bench:
        columns = "k VARCHAR, dealname VARCHAR, hubspot_owner_id VARCHAR, pipeline VARCHAR, dealstage VARCHAR"
        stands = ("Sales Pipeline", "Contract Sent")
        bench.model(columns, ("1", "A", "olive@revetl.example", *stands), ("2", "B", "new@revetl.example", *stands))
        named = {
            "hubspot_owner_id": Reference(object="owners", match_on="email"),
            "pipeline": Reference(object="deals/pipelines", match_on="label"),
            "dealstage": Reference(object="deals/stages", match_on="label"),
        }
        fields = {name: FieldRule(references=reference) for name, reference in named.items()}
        spec = bench.spec("deals", key_property="source_id", fields=fields)
        await bench.run(spec)
        ids = ("default", "contractsent")
        found = bench.records("deals", "dealname", "hubspot_owner_id", "pipeline", "dealstage")
        assert found == [("A", "710001", *ids), ("B", None, *ids)]
        bench.portal.owners["710002"].email = "new@revetl.example"
        await bench.run(spec)
        assert bench.records("deals", "hubspot_owner_id") == [("710001",), ("710002",)]
