"""PostgreSQL 14 or later, through psycopg 3.

adapter      the Warehouse: statements, transactions, results, what a lost connection means for each
connecting   a session from a profile: options, repeated attempts, the settings that every session has
pooler       is there a pooler in between, and does it pool by transaction
failures     the driver's errors as ours, without values or passwords
types        the server's types in DuckDB's spelling, its rows as Arrow
"""

from revetl.warehouse.postgres.adapter import PostgresWarehouse

__all__ = ["PostgresWarehouse"]
