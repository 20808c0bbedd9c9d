"""Alerts as code: what `alerts.yml` asks for, which incidents are open, and the one message that each is told by.
docs/design/alerts.md
"""
