"""What the generated page of destinations says of the HTTP sink."""

from revetl.destinations.facts import ConnectorFacts, ConnectorForm

FACTS = ConnectorFacts(
    title="HTTP sink",
    says="an endpoint of yours that takes changed records",
    guide="guides/connect-any-api.md",
    design="design/destinations.md",
    pace="no limit",
    forms=(ConnectorForm("any object", {"url": "https://hooks.example.com/push"}, {"POST": "once, repeated"}),),
)
