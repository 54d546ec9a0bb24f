"""Inputs, cases and checks of `benchmarks.media_matrix`."""
