"""VEnhancer: space-time super-resolution and refinement (arXiv 2407.07667)."""
