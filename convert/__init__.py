"""PyTorch checkpoints to Orbax and back by rule tables, and proof of parity by replay."""
