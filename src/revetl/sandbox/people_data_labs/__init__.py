"""People Data Labs as the sandbox serves it."""
