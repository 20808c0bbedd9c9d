"""Text, Markdown and JSON of what use cases return. Decides nothing."""
