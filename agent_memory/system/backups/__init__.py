"""A whole memory in one file, and back out of it."""
