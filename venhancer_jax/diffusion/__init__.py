"""Schedules, solvers, guidance, counter-based noise.

Knows no network: it takes a denoise function.
"""
