"""Sagas: syncs that stand or fall together."""
