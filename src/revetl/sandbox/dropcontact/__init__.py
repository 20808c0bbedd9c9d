"""Dropcontact as the sandbox serves it."""
