"""Short-term and intermediate memory: entries and their indexes on a Redis server."""
