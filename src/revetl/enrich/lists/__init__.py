"""Lists of a person's own, from files and frames: which column is which input, and the answers beside the rows."""
