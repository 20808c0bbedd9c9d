"""What others changed at the destination, and whose value holds."""
