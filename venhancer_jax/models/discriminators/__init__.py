"""Networks that tell generated videos from real ones, used in training only."""
