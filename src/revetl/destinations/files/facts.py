"""What the generated page of destinations says of files."""

from revetl.destinations.facts import ConnectorFacts, ConnectorForm

FACTS = ConnectorFacts(
    title="Files",
    says="Parquet, CSV or NDJSON in a folder, S3, GCS or SFTP",
    guide="guides/files.md",
    design="design/files.md",
    assumed="What is assumed",
    pace="no limit",
    forms=(
        ConnectorForm(
            "`contents: changes`",
            {"url": "file:///srv/exports"},
            {"file and manifest of a run": "exactly once"},
        ),
        ConnectorForm(
            "`contents: full`",
            {"url": "file:///srv/exports", "contents": "full"},
            {"file and manifest of a run": "exactly once"},
        ),
    ),
)
