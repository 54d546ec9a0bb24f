"""Meshes, logical axis rules, and what a program costs before it runs."""
