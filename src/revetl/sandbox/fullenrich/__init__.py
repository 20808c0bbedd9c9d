"""FullEnrich as the sandbox serves it."""
