"""When syncs and waterfalls run by themselves: what is declared, when a run is due, what became of it. Starts nothing:
that is the service's. docs/design/schedules.md
"""
