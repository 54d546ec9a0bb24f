"""Trains the networks: `python train.py --help`."""

import sys

from venhancer_jax.cli.train import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
