"""Slack: messages from a model, by a bot token or by an incoming webhook."""

from revetl.destinations.slack.connector import Slack, connect
from revetl.destinations.slack.facts import FACTS
from revetl.destinations.slack.options import Options

__all__ = ["FACTS", "Options", "Slack", "connect"]
