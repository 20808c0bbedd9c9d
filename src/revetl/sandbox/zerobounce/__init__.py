"""ZeroBounce as the sandbox serves it."""
