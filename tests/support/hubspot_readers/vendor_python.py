"""HubSpot's own Python client: lists, searches and batch reads, page by page."""

import json
import sys

from hubspot import HubSpot
from hubspot.crm import companies, contacts, deals
from hubspot.crm.associations import v4

PAGE = 17
MODELS = {"contacts": contacts, "companies": companies, "deals": deals}
PAIRS = (("contacts", "companies"), ("deals", "companies"), ("deals", "contacts"))


def pages(get_page, **arguments):
    after = None
    while True:
        page = get_page(after=after, **arguments)
        yield from page.results
        after = page.paging.next.after if page.paging and page.paging.next else None
        if after is None:
            return


def searched(api, model, names):
    """The same records through search, whose pages are counted and not named."""
    after = None
    while True:
        everything = {"propertyName": "hs_object_id", "operator": "GT", "value": "0"}
        request = model.PublicObjectSearchRequest(
            filter_groups=[{"filters": [everything]}],
            sorts=["hs_object_id"],
            properties=names,
            limit=PAGE,
            after=after or "0",
        )
        page = api.do_search(public_object_search_request=request)
        yield from page.results
        after = page.paging.next.after if page.paging else None
        if after is None:
            return


def main(base_url):
    crm = HubSpot(access_token="pat-reader", host=base_url).crm
    document = {"records": {}, "searched": {}, "types": {}, "links": [], "owners": [], "pipelines": {}}
    for name, model in MODELS.items():
        properties = crm.properties.core_api.get_all(name).results
        names = [p.name for p in properties]
        document["types"][name] = {p.name: p.type for p in properties}
        api = getattr(crm, name)
        listed = pages(api.basic_api.get_page, limit=PAGE, properties=names, archived=False)
        document["records"][name] = [{"id": r.id, "properties": r.properties} for r in listed]
        document["searched"][name] = [
            {"id": r.id, "properties": r.properties} for r in searched(api.search_api, model, names)
        ]
    for from_type, to_type in PAIRS:
        ids = [{"id": r["id"]} for r in document["records"][from_type]]
        for start in range(0, len(ids), PAGE):
            batch = v4.BatchInputPublicFetchAssociationsBatchRequest(inputs=ids[start : start + PAGE])
            answer = crm.associations.v4.batch_api.get_page(from_type, to_type, batch)
            for result in answer.results:
                for to in result.to:
                    for kind in to.association_types:
                        link = [from_type, result._from.id, to_type, str(to.to_object_id), kind.type_id]
                        document["links"].append(link)
    document["owners"] = [o.id for o in pages(crm.owners.owners_api.get_page, limit=2)]
    for name in ("deals",):
        found = crm.pipelines.pipelines_api.get_all(name).results
        document["pipelines"][name] = {p.id: [s.id for s in p.stages] for p in found}
    json.dump(document, sys.stdout)


main(sys.argv[1])
