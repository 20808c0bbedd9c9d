"""The command line: parsed in `commands`, printed by `render`, meant by `revetl.usecases`."""
