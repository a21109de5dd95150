"""Redis-OM models of short-term and intermediate memory, for analysis scripts."""
