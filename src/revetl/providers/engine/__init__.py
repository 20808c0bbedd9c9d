"""The declarative provider: asks one vendor endpoint as its spec says. Begin with `declarative`; what each module does
is in docs/design/providers.md. Nothing is imported here: a spec can be read without the network's libraries."""
