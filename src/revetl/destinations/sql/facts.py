"""What the generated page of destinations says of databases."""

from revetl.destinations.facts import ConnectorFacts, ConnectorForm

_FOUND = "row found by a unique column"


def facts(title: str, database_option: str) -> ConnectorFacts:
    """Of one dialect, whose options name the database by `database_option`."""
    return ConnectorFacts(
        title=title,
        says="tables",
        guide="guides/databases.md",
        design="design/sql-destinations.md",
        assumed="What is assumed",
        pace="no limit",
        forms=(
            ConnectorForm(
                "any table",
                {"host": "db.example.com", database_option: "crm", "user": "revetl"},
                {_FOUND: "exactly once", "insert without `match_on`": "at most once"},
            ),
        ),
    )
