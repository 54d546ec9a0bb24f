"""Enhances a video, or a folder of videos: `python sample.py --help`."""

import sys

from venhancer_jax.cli.sample import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
