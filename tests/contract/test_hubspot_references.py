"""A deal whose owner, pipeline and stage are named in the model as people name them."""

from __future__ import annotations

import re

from revetl.model import Association, FieldRule, Reference, looked_up_as
from tests.support.guides import PAGES
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


def named_scopes() -> list[str]:
    """Those of the guide, of each object that its syncs write."""
    page = PAGES["docs/guides/hubspot.md"].read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `crm.")]
    scopes = [scope for row in rows for scope in re.findall(r"crm\.[a-z.]+", row)]
    scopes += [scope.replace(".read", ".write") for scope in scopes if scope == "crm.objects.companies.read"]
    others = [s.replace("companies", name) for s in scopes if "companies" in s for name in ("contacts", "deals")]
    return [*scopes, *others]


async def test_the_scopes_that_the_guide_names_are_enough_for_all_that_it_does() -> None:
    scopes = named_scopes()
    async with portal_bench(hubspot={"scopes": {"pat-least": scopes}}) as bench:
        bench.portal.add_list("Newsletter", "contacts")
        bench.model("k VARCHAR, domain VARCHAR", ("c1", "x.example"))
        companies = bench.spec("companies", name="companies", match_on="domain")
        assert (await bench.run(companies, token="pat-least")).counts == {"ok": 1}
        columns = "k VARCHAR, email VARCHAR, tier VARCHAR, works_at VARCHAR, newsletter VARCHAR"
        bench.model(columns, ("p1", "ann@x.example", "Gold", "c1", "Newsletter"))
        links = (
            Association("companies", "works_at", 279, "companies"),
            Association(looked_up_as("lists", "name"), "newsletter", 1, "lists", "name"),
        )
        contacts = bench.spec("contacts", match_on="email", create_properties=("tier",), associate=links)
        assert (await bench.run(contacts, token="pat-least")).counts == {"ok": 1, "linked": 2}
        bench.model(
            "k VARCHAR, hubspot_owner_id VARCHAR, pipeline VARCHAR", ("d1", "olive@revetl.example", "Sales Pipeline")
        )
        rules = {
            "hubspot_owner_id": FieldRule(references=Reference(object="owners", match_on="email")),
            "pipeline": FieldRule(references=Reference(object="deals/pipelines", match_on="label")),
        }
        deals = bench.spec("deals", name="deals", key_property="warehouse_id", fields=rules)
        assert (await bench.run(deals, token="pat-least")).counts == {"ok": 1}
        assert bench.records("deals", "hubspot_owner_id", "pipeline") == [("710001", "default")]
