"""Enhances a video, or a folder of videos.

    python sample.py                                    the small model of the package, on its clip
    python sample.py --config=configs/venhancer.py --config.input=IN.mp4 --config.output=OUT.mp4

Every key of the config can be set: --config.up_scale=2 --config.target_fps=60. Exit codes: 0 done,
2 wrong input, 1 anything else.

    python sample.py --config=configs/venhancer.py --plan=v5e-8 --plan_clip=720x1280x32

compiles for chips that need not be there, and tells what it would take on them: for an output of
that height, width and number of frames, without --plan_clip for the input. --plan_json=FILE writes
it as JSON, --plan_effort=quick compiles in a quarter of the time, near the same memory. Exit codes:
0 it fits, 1 it does not.
"""

import sys
from collections.abc import Sequence

from ml_collections import ConfigDict

from venhancer_jax.command_line import parse_config
from venhancer_jax.errors import InputError
from venhancer_jax.planning import command
from venhancer_jax.startup import set_compile_effort, use_compilation_cache

_PRESETS = ("demo", "venhancer")
_PUBLISHED = {"v1": "venhancer_v1", "v2": "venhancer_v2"}


def main(arguments: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code."""
    try:
        config, values = parse_config(__doc__, arguments, "configs/demo.py", command.SAMPLE_FLAGS)
        if config is None:
            return 0
        if command.check_flags(values):
            return command.plan_sample(config, values)
        return _enhance(config)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was partly written is removed", file=sys.stderr)
        return 1


def _enhance(config: ConfigDict) -> int:
    from venhancer_jax.pipelines import run
    from venhancer_jax.pipelines.config import check_keys
    from venhancer_jax.sharding.processes import join

    check_keys(config)
    join(config)
    jobs, problems = run.check(config)
    use_compilation_cache(config.compilation_cache or None)
    set_compile_effort(config.compile_effort)
    problems += run.run(config, _system(config), jobs)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _system(config: ConfigDict):
    from venhancer_jax import weights
    from venhancer_jax.convert import fetch
    from venhancer_jax.pipelines.config import mesh_of
    from venhancer_jax.pipelines.venhancer import load

    options = {"dtype": config.dtype, "weights": config.weights, "mesh": mesh_of(config)}
    if config.preset not in _PRESETS:
        raise InputError(f"preset {config.preset!r}: expected one of {', '.join(_PRESETS)}")
    if config.preset == "demo" and not config.checkpoint:
        return load.demo_venhancer(**options)
    if config.version not in _PUBLISHED:
        raise InputError(f"version {config.version!r}: expected one of {', '.join(_PUBLISHED)}")
    checkpoints = {
        "venhancer": config.checkpoint or _PUBLISHED[config.version],
        "vae": config.vae_checkpoint or "svd_vae",
        "text": config.text_checkpoint or "openclip",
    }
    if config.text_checkpoint == "none":
        del checkpoints["text"]
    # What is given must be there before the first is converted, which takes minutes.
    for checkpoint in checkpoints.values():
        if checkpoint not in fetch.PUBLISHED and not weights.is_weights(checkpoint):
            fetch.resolve(checkpoint)
    folders = {network: fetch.weights_of(network, name) for network, name in checkpoints.items()}
    return load.load_venhancer(folders["venhancer"], folders["vae"], folders.get("text"), **options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
