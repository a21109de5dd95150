"""Fits a code of contents to stored entries."""
