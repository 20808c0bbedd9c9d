"""Data vendors that answer from a hidden truth, each in its own dialect."""
