"""Videos and pictures to frames: facts, times, decoding, geometry."""
