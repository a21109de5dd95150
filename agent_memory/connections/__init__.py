"""The only place that opens Redis clients and SQL engines, and translates their errors."""
