"""Wrong inputs of the commands, run one by one: `python -m benchmarks.wrong_inputs`."""
