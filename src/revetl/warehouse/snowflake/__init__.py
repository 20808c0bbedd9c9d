"""Snowflake through its own connector.

adapter      the Warehouse: statements, transactions, results, what a lost session means for each
rows         the server's types in DuckDB's spelling, and rows as the JSON in which they travel
failures     the connector's errors as ours, without values or secrets
private_key  a key as dbt's profile gives it
"""

from revetl.warehouse.snowflake.adapter import SnowflakeWarehouse

__all__ = ["SnowflakeWarehouse"]
