"""Local vendors with state, limits and faults, one folder each, and made-up sources. Knows nothing of the engine."""
