"""What a memory looks like: the values that pictures are made of, charts, and the report."""
