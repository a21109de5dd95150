"""A whole memory: one agent, all agents; learning, checking, backups, erasure."""
