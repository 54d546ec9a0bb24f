"""Trains the networks.

    python train.py --config=configs/train_debug.py --workdir=/tmp/debug

Started again with the same workdir, it goes on where it stopped. Exit codes: 0 done, 2 wrong input,
1 anything else.
"""

import sys
from collections.abc import Sequence

from venhancer_jax.command_line import parse_config
from venhancer_jax.errors import InputError
from venhancer_jax.startup import use_compilation_cache


def main(arguments: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code."""
    try:
        config, values = parse_config(__doc__, arguments, "configs/train_debug.py", ("workdir",))
        if config is None:
            return 0
        if not values["workdir"]:
            raise InputError("no workdir: give --workdir=FOLDER for checkpoints and metrics")
        use_compilation_cache(config.compilation_cache or None)
        from etils import epath

        from venhancer_jax.training.processes import join

        join(config)
        from venhancer_jax.training.run import train

        train(config, epath.Path(values["workdir"]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
