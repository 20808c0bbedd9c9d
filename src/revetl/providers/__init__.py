"""What answers lookups for money.

`base` is what the enrichment engine knows of a provider; `grammar` the YAML that describes one; `engine` the provider
that follows such a description; `options` what an operator says of an account; `registry` puts them together.
"""
