"""What samples mean: depth, chroma, matrices, range, light, transparency."""
