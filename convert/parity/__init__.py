"""Replays recorded activations of PyTorch programs and reports the errors of our networks."""
