"""Stored entries as columns: Arrow, pandas, polars, DuckDB, and files that are read back."""
