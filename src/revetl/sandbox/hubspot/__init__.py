"""A HubSpot portal in memory. Where the vendor's specification and live traffic disagree it answers as live traffic."""
