"""Networks only: config dataclass, blocks, net. No files, no sampling, no randomness of their own.

Videos and latents are channels last, `[B, F, H, W, C]`.
"""
