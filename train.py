"""Trains the networks.

    python train.py --config=configs/train_debug.py --workdir=/tmp/debug

Started again with the same workdir, it goes on where it stopped. Exit codes: 0 done, 2 wrong input,
1 anything else.

    python train.py --config=configs/train_venhancer.py --plan=v5p-256

compiles the step for chips that need not be there, and tells what it would take on them;
--plan_json=FILE writes it as JSON. Exit codes: 0 it fits, 1 it does not.
"""

import sys
from collections.abc import Sequence

from venhancer_jax.command_line import parse_config
from venhancer_jax.errors import InputError
from venhancer_jax.planning import command
from venhancer_jax.startup import set_compile_effort, use_compilation_cache


def main(arguments: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code."""
    try:
        flags = ("workdir", *command.TRAIN_FLAGS)
        config, values = parse_config(__doc__, arguments, "configs/train_debug.py", flags)
        if config is None:
            return 0
        if command.check_flags(values):
            return command.plan_train(config, values)
        if not values["workdir"]:
            raise InputError("no workdir: give --workdir=FOLDER for checkpoints and metrics")
        use_compilation_cache(config.compilation_cache or None)
        set_compile_effort(config.compile_effort)
        from etils import epath

        from venhancer_jax.sharding.processes import join

        join(config)
        from venhancer_jax.training.run import train

        train(config, epath.Path(values["workdir"]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
