"""Google Sheets: rows of a tab, whose header row names the columns."""

from revetl.destinations.google_sheets.connector import GoogleSheets, connect
from revetl.destinations.google_sheets.facts import FACTS
from revetl.destinations.google_sheets.options import Options

__all__ = ["FACTS", "GoogleSheets", "Options", "connect"]
