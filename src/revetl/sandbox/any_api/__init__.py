"""A made-up API in several of the shapes that APIs have."""
