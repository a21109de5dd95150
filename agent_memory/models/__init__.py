"""What a stored entry looks like in each engine: schema, indexes and mappers."""
