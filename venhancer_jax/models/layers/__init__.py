"""Layers that the networks of several systems share."""
