"""HubSpot CRM: contacts, companies and any other object of the CRM API."""

from revetl.destinations.hubspot.connector import HubSpot, connect
from revetl.destinations.hubspot.facts import FACTS
from revetl.destinations.hubspot.options import Options

__all__ = ["FACTS", "HubSpot", "Options", "connect"]
