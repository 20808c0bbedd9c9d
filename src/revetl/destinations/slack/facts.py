"""What the generated page of destinations says of Slack."""

from revetl.destinations.facts import ConnectorFacts, ConnectorForm

FACTS = ConnectorFacts(
    title="Slack",
    says="messages into a channel",
    guide="guides/slack.md",
    design="design/slack.md",
    assumed="What is assumed",
    forms=(
        ConnectorForm(
            "by a token that reads the channel",
            {"token": "xoxb-example", "on_change": "update"},
            {
                "chat.postMessage": "once, looked for",
                "chat.update": "once, repeated",
                "chat.delete": "once, repeated",
            },
        ),
        ConnectorForm(
            "`history: false`",
            {"token": "xoxb-example", "history": False},
            {"chat.postMessage": "at most once", "chat.delete": "once, repeated"},
        ),
        ConnectorForm(
            "by a webhook",
            {"webhook_url": "https://hooks.slack.com/services/T0/B0/example"},
            {"POST": "at most once"},
            object="messages",
            events=True,
        ),
    ),
)
