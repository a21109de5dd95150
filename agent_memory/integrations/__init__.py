"""Simulations whose agents remember, one module for each framework or model."""
