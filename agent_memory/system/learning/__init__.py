"""Encoders and codes: what they are learned from, their versions, and re-encoding."""
