"""The HubSpot source of dlt's verified sources, as ingestr carries it. It follows `paging.next.link` as it is given."""

import json
import sys

from ingestr.src.hubspot import helpers, hubspot
from redirected import redirect

OBJECTS = ("contacts", "companies", "deals")


def main(base_url):
    redirect(base_url)
    document = {"records": {}, "links": [], "history": {}, "types": {}}
    source = hubspot(api_key="pat-reader")
    for name in OBJECTS:
        rows = list(source.resources[name])
        document["records"][name] = [{"id": row["id"], "properties": row} for row in rows]
        for row in rows:
            # Other objects' ids stand in the row under the name of the object.
            for to_type in OBJECTS:
                for link in row.pop(to_type, None) or ():
                    other = next(value for key, value in link.items() if key != "value")
                    document["links"].append([name, row["id"], to_type, other, None])
    document["schemas"] = [row["name"] for row in source.resources["schemas"]]
    changes = helpers.fetch_property_history("/crm/v3/objects/contacts", "pat-reader", "email,firstname")
    document["history"]["contacts"] = [entry for page in changes for entry in page]
    for page in helpers.fetch_data("/crm/v3/properties/contacts", "pat-reader"):
        document["types"]["contacts"] = {p["name"]: p["type"] for p in page}
    json.dump(document, sys.stdout)


main(sys.argv[1])
