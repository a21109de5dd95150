"""The explorer: a local page that shows what agents remember, and writes nothing."""
