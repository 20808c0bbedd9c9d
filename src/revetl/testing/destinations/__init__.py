"""The contract of a destination as behaviour tests."""
