"""Where entries are stored and found: one contract, several engines."""
