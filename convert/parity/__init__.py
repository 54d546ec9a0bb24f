"""Replays recorded activations of PyTorch programs and tells how far ours are from them."""
