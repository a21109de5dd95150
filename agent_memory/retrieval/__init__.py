"""Finding entries across the tiers."""
