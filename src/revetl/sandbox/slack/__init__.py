"""A Slack workspace: channels, messages and threads, strict about what a message may be."""
