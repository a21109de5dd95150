"""The Redis client: a channel of packed commands, its answers and its errors."""
