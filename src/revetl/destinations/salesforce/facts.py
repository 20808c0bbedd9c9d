"""What the generated page of destinations says of Salesforce."""

from revetl.destinations.facts import ConnectorFacts, ConnectorForm

FACTS = ConnectorFacts(
    title="Salesforce",
    says="any object of an org",
    guide="guides/salesforce.md",
    design="design/salesforce.md",
    assumed="What is assumed",
    pace="the org's requests of a day",
    forms=(
        ConnectorForm(
            "any object",
            {
                "base_url": "https://example.my.salesforce.com",
                "auth": {"type": "oauth_client_credentials", "client_id": "example", "client_secret": "example"},
            },
            {
                "upsert by an external id": "once, repeated",
                "create by another `match_on`": "once, looked for",
                "update and delete": "once, repeated",
                "job": "once, repeated",
            },
            object="Contact",
        ),
        ConnectorForm(
            "`LeadOrContact`",
            {
                "base_url": "https://example.my.salesforce.com",
                "auth": {"type": "oauth_client_credentials", "client_id": "example", "client_secret": "example"},
            },
            {"create": "once, looked for", "update and delete": "once, repeated"},
            object="LeadOrContact",
        ),
    ),
)
