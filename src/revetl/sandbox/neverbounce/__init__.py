"""NeverBounce as the sandbox serves it."""
