"""Enhances a video, or a folder of videos.

    python sample.py                                    the small model of the package, on its clip
    python sample.py --config=venhancer --config.input=IN.mp4 --config.output=OUT.mp4

Every setting below can be changed: --config.up_scale=2 --config.target_fps=60. Exit codes: 0 done,
2 wrong input, 130 and 143 interrupted, 1 anything else. An interrupted run resumes when the same
command is run again.

    python sample.py --config=venhancer --config.input=IN.mp4 --preview

enhances three short pieces of the video at full quality, OUT.preview.mp4, compares a frame with its
bicubic enlargement, OUT.preview.png, and reports how long the whole would take.

    python sample.py --config=venhancer --plan=v5e-8 --plan_clip=720x1280x32

compiles for chips that need not be present, and reports memory and time of the run on them: for an
output of that height, width and number of frames, without --plan_clip for the input.
--plan_json=FILE writes the plan as JSON; --plan_effort=quick compiles in a quarter of the time,
with nearly the same memory. Exit codes: 0 it fits, 1 it does not.
"""

import sys
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from venhancer_jax.cli.plan_flags import SAMPLE_FLAGS, check_flags, plan_sample
from venhancer_jax.cli.preview import PREVIEW, preview, with_value
from venhancer_jax.command_line import parse_config
from venhancer_jax.errors import InputError
from venhancer_jax.interrupt import run_interruptible
from venhancer_jax.startup import set_compile_effort, use_compilation_cache

DEFAULT_CONFIG = "demo"
_RESUME = "finished parts are kept; run the same command again to resume"


def main(arguments: Sequence[str]) -> int:
    """Enhances as the command line says; returns the exit code."""
    try:
        flags = (*SAMPLE_FLAGS, PREVIEW)
        config, values = parse_sample_config(with_value(arguments), flags)
        if config is None:
            return 0
        if check_flags(values):
            return plan_sample(config, values)
        if values[PREVIEW]:
            return run_interruptible(lambda: preview(config), "run it again to begin again")
        return run_interruptible(lambda: _enhance(config), _RESUME)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parse_sample_config(
    arguments: Sequence[str],
    flags: Sequence[str] = SAMPLE_FLAGS,
    about: str | None = __doc__,
) -> tuple[ConfigDict | None, dict[str, str]]:
    """Reads an enhancement config from the command line; see `parse_config`.

    Args:
      arguments: command-line arguments without the program.
      flags: names of the flags besides the config.
      about: text that `--help` begins with.
    """
    from venhancer_jax.pipelines.config import checked_config, settings_of, system_of, unknown_key

    config, values = parse_config(
        about,
        arguments,
        DEFAULT_CONFIG,
        flags,
        settings=lambda config: settings_of(system_of(config)),
        explain=lambda key, config: unknown_key(key, system_of(config)),
    )
    return None if config is None else checked_config(config), values


def load_system(config: ConfigDict) -> Any:
    """Loads the system of a config; missing checkpoints are fetched and converted.

    Raises:
      InputError: a checkpoint cannot be found, fetched or converted.
    """
    from venhancer_jax.pipelines.config import mesh_of, system_of, weights_of
    from venhancer_jax.pipelines.registry import find_system

    spec, weights = find_system(system_of(config)), weights_of(config)
    return spec.load(weight_folders(config), weights, mesh=mesh_of(config))


def weight_folders(config: ConfigDict) -> dict[str, Any]:
    """Returns the weight folder of each network by role; checkpoints are fetched and converted.

    Raises:
      InputError: a checkpoint cannot be found, fetched or converted.
    """
    from venhancer_jax import weights as stored
    from venhancer_jax.convert import fetch
    from venhancer_jax.pipelines.config import system_of, weights_of
    from venhancer_jax.pipelines.registry import find_system

    spec, weights = find_system(system_of(config)), weights_of(config)
    checkpoints = spec.checkpoints(weights)
    # All must be found before the first is converted, which takes minutes.
    for checkpoint in checkpoints.values():
        if checkpoint not in fetch.published() and not stored.is_weights(checkpoint):
            fetch.resolve(checkpoint)
    return {role: fetch.weights_of(role, name) for role, name in checkpoints.items()}


def weight_facts(config: ConfigDict) -> dict[str, str]:
    """Returns what results follow from besides videos and options: weights and their numbers.

    Raises:
      InputError: a checkpoint cannot be found, fetched or converted.
    """
    from venhancer_jax.pipelines.config import weights_of
    from venhancer_jax.weights import fingerprint

    folders = weight_folders(config)
    facts = {f"weights of {role}": fingerprint(folder) for role, folder in folders.items()}
    return facts | {"dtype": config.dtype, "weights": getattr(weights_of(config), "weights", "")}


def _enhance(config: ConfigDict) -> int:
    from venhancer_jax.pipelines.jobs import check_jobs
    from venhancer_jax.pipelines.run import Problem, run_jobs
    from venhancer_jax.sharding.processes import (
        check_alike,
        failing_together,
        initialize_distributed,
        share_interrupts,
        together,
    )

    initialize_distributed(config)
    share_interrupts()
    with failing_together():
        jobs, messages = together(lambda: check_jobs(config))
        check_alike([repr(job.clip) for job in jobs], "the processes do not see the same videos")
        use_compilation_cache(config.compilation_cache or None)
        set_compile_effort(config.compile_effort)
        problems = [Problem(message, 2) for message in messages]
        finished = None
        if config.report:
            from venhancer_jax.report.jobs import index_folders, report_each

            finished = report_each(config)
        problems += run_jobs(load_system(config), jobs, weight_facts(config), finished)
        if config.report:
            index_folders(config, [problem.message for problem in problems])
    for problem in problems:
        print(f"error: {problem.message}", file=sys.stderr)
    # What is no fault of the input outranks what is.
    return min((problem.exit_code for problem in problems), default=0)
