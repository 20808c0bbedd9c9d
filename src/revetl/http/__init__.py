"""The only code that talks to a network. Import from the modules: `revetl.http.session`, `.pacing`, `.verdict`."""
