"""What the generated page of destinations says of HubSpot."""

from revetl.destinations.facts import ConnectorFacts, ConnectorForm

FACTS = ConnectorFacts(
    title="HubSpot",
    says="contacts, companies, deals, tickets and objects of the account's own, with their links",
    guide="guides/hubspot.md",
    design="design/hubspot.md",
    assumed="What is assumed",
    forms=(
        ConnectorForm(
            "any object",
            {"token": "pat-example"},
            {"upsert by a unique property": "once, repeated", "update and archive": "once, repeated"},
        ),
    ),
)
