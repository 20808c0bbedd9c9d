"""Prospeo as the sandbox serves it."""
