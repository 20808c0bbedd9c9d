"""Leaving a destination: what stands there because of a sync, what becomes of it, and the end of the sync's state."""
