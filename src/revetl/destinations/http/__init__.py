"""Any HTTP API: what is sent, where, and what its answers mean, as data in connections.yml."""

from revetl.destinations.http.connector import HttpApi
from revetl.destinations.http.facts import FACTS
from revetl.destinations.http.kinds import connect
from revetl.destinations.http.options import Options

__all__ = ["FACTS", "HttpApi", "Options", "connect"]
