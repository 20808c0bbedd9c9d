"""One file per command: parses, calls one use case, prints."""
