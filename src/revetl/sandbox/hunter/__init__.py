"""Hunter as the sandbox serves it."""
