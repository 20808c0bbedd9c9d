"""What the generated page of destinations says of Google Sheets."""

from revetl.destinations.facts import ConnectorFacts, ConnectorForm

FACTS = ConnectorFacts(
    title="Google Sheets",
    says="rows of a tab, by the names in its first row",
    guide="guides/google-sheets.md",
    design="design/google-sheets.md",
    assumed="What is assumed",
    forms=(
        ConnectorForm(
            "any tab",
            {
                "spreadsheet_id": "1exampleExample",
                "auth": {
                    "type": "oauth_refresh_token",
                    "client_id": "example",
                    "client_secret": "example",
                    "refresh_token": "example",
                },
            },
            {
                "appendCells": "once, looked for",
                "values.batchUpdate": "once, looked for",
                "deleteDimension": "once, looked for",
            },
            object="Customers",
        ),
    ),
)
