"""Salesforce: any object of an org, by sObject collections and Bulk API 2.0."""

from revetl.destinations.salesforce.connector import Salesforce, connect
from revetl.destinations.salesforce.facts import FACTS
from revetl.destinations.salesforce.options import Options

__all__ = ["FACTS", "Options", "Salesforce", "connect"]
