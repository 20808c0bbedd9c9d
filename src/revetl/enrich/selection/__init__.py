"""Which records still lack what, and which questions are open: SQL in the warehouse."""
