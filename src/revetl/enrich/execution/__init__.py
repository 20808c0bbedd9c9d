"""A waterfall that runs: money reserved, intent durable, the call, its answer, its values."""
