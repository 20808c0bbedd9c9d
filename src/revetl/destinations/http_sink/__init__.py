"""Any HTTP endpoint that takes a JSON array of changed records."""

from revetl.destinations.http_sink.connector import HttpSink, connect
from revetl.destinations.http_sink.options import Options

__all__ = ["HttpSink", "Options", "connect"]
