"""Golden records: what matching learns from the data, how good it is, and what a change of it changes."""
