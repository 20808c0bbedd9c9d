"""An HTTP endpoint that takes a JSON array of changed records: a short form of `type: http`."""

from revetl.destinations.http_sink.connector import HttpSink, connect
from revetl.destinations.http_sink.facts import FACTS
from revetl.destinations.http_sink.options import Options

__all__ = ["FACTS", "HttpSink", "Options", "connect"]
