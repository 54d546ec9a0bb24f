"""Prompts to token numbers. Knows no network and no array library but NumPy."""
