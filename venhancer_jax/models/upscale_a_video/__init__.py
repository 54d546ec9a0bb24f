"""Upscale-A-Video: text-guided x4 super-resolution of a video (arXiv 2312.06640)."""
