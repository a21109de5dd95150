"""Long-term memory: rows, their schema, and the statements that reach them."""
