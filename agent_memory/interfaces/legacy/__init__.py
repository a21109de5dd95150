"""States by step, under the names of the original plan."""
