"""revetl: reverse ETL and waterfall enrichment on a warehouse."""

__version__ = "0.1.0"
