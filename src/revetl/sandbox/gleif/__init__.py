"""GLEIF as the sandbox serves it."""
