"""Tokenizers of prompts. Independent of networks and of array libraries but NumPy."""
