"""The page of `revetl serve`: read-only, on loopback, drawn on the server. docs/design/service.md"""
