"""Columns that name records of another object, which are looked up at the destination."""
