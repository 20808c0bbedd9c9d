"""Sending a frozen plan: durable intent, batches in flight, outcomes, checkpoints."""
