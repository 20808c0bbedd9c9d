"""`/v1`: what the page shows and does, for programs. The document and the checks come from one table of routes."""
