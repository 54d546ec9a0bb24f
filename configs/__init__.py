"""Runnable experiments, one to a file."""
