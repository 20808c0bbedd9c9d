"""Companies House as the sandbox serves it."""
