"""The only code that talks to a database: one small interface, one module for each database."""
