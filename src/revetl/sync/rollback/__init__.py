"""Taking back what a run wrote: decided field by field, sent like a plan."""
