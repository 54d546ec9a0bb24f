"""Plans a run on chips that need not be present; the exit code says whether it fits.

venhancer-jax plan v5e-8 --config=venhancer --clip=720x1280x32
venhancer-jax plan v5p-256 --config=train_venhancer --json=plan.json --effort=quick
"""

import sys
from collections.abc import Sequence

from venhancer_jax.cli import sample, train
from venhancer_jax.command_line import find_config
from venhancer_jax.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Plans the enhancement or the training of a config; returns the exit code."""
    if not arguments or arguments[0].startswith("-"):
        print(__doc__)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    topology, *rest = arguments
    short = {"--clip=": "--plan_clip=", "--json=": "--plan_json=", "--effort=": "--plan_effort="}
    for name, flag in short.items():
        rest = [flag + a.removeprefix(name) if a.startswith(name) else a for a in rest]
    try:
        trains = "objective" in find_config(rest, sample.DEFAULT_CONFIG)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    command = train if trains else sample
    return command.main([f"--plan={topology}", *rest])
