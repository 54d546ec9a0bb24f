"""Trains the networks.

    python train.py --config=train_debug --workdir=/tmp/debug

Started again with the same workdir, a run resumes where it stopped. Exit codes: 0 done, 2 wrong
input, 75 stopped by a signal and saved (start it again), 1 anything else.

    python train.py --config=train_venhancer --plan=v5p-256

compiles the step for chips that need not be present, and reports its memory and time;
--plan_json=FILE writes it as JSON. Exit codes: 0 it fits, 1 it does not.
"""

import sys
from collections.abc import Sequence

from ml_collections import ConfigDict

from venhancer_jax.cli.plan_flags import TRAIN_FLAGS, check_flags, plan_train
from venhancer_jax.command_line import parse_config
from venhancer_jax.errors import InputError
from venhancer_jax.startup import set_compile_effort, use_compilation_cache
from venhancer_jax.training.config import TRAIN_SETTINGS

# Exit code of a run that a signal stopped: a scheduler should start it again (EX_TEMPFAIL).
STOPPED = 75


def parse_train_config(
    arguments: Sequence[str],
) -> tuple[ConfigDict | None, dict[str, str]]:
    """Reads a training config from the command line; see `parse_config`."""
    return parse_config(
        __doc__,
        arguments,
        "train_debug",
        ("workdir", *TRAIN_FLAGS),
        settings=lambda config: TRAIN_SETTINGS,
    )


def main(arguments: Sequence[str]) -> int:
    """Trains as the command line says; returns the exit code."""
    try:
        config, values = parse_train_config(arguments)
        if config is None:
            return 0
        if check_flags(values):
            return plan_train(config, values)
        if not values["workdir"]:
            raise InputError("no workdir: give --workdir=FOLDER for checkpoints and metrics")
        use_compilation_cache(config.compilation_cache or None)
        set_compile_effort(config.compile_effort)
        from etils import epath

        from venhancer_jax.sharding.processes import failing_together, initialize_distributed

        initialize_distributed(config)
        # A signal is noticed by the loop, which saves.
        with failing_together():
            from venhancer_jax.training.run import train

            state = train(config, epath.Path(values["workdir"]))
            return 0 if int(state.step) == config.steps else STOPPED
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
