"""Proofs that take longer than a test may: `python -m verification` runs them and writes docs/reliability.md."""
