"""What simulation code holds: the dict-style API, hooks, and states by step."""
