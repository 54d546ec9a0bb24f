"""Enhances a video, or a folder of videos.

    python sample.py                                    the tiny preset on its own clip
    python sample.py --config=configs/venhancer.py --config.input=IN.mp4 --config.output=OUT.mp4

Every key of the config can be set: --config.up_scale=2 --config.target_fps=60. Exit codes: 0 done,
2 wrong input, 1 anything else.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from venhancer_jax.errors import InputError
from venhancer_jax.startup import use_compilation_cache

_DEMO = Path(__file__).parent / "configs" / "demo.py"
_CONFIG = config_flags.DEFINE_config_file(
    "config", str(_DEMO), "file of the experiment", lock_config=True
)

UNTRAINED = (
    "NOTE: the weights of this preset are UNTRAINED. Size, rate, sound and files of the result are"
    " right; the picture is noise. Use --config=configs/venhancer.py for the published weights."
)


def main(argv: Sequence[str]) -> int:
    """Runs the config; returns the exit code."""
    if len(argv) > 1:
        raise InputError(f"unexpected argument {argv[1]!r}: settings are --config.key=value")
    from venhancer_jax.pipelines import run

    config = _CONFIG.value
    work = run.check(config)
    use_compilation_cache()
    problems = run.run(config, _system(config), work)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _system(config: ConfigDict):
    from convert.fetch import weights_of
    from venhancer_jax.pipelines import load

    if config.preset == "demo" and not config.checkpoint:
        print(UNTRAINED, flush=True)
        return load.untrained_venhancer(seed=config.seed, dtype=config.dtype)
    published = {"v1": "venhancer_v1", "v2": "venhancer_v2"}
    version = config.get("version", "v2")
    if version not in published:
        raise InputError(f"version {version!r}: expected one of {', '.join(published)}")
    return load.load_venhancer(
        weights_of("venhancer", config.checkpoint or published[version]),
        weights_of("vae", config.vae_checkpoint or "svd_vae"),
        weights_of("text", config.text_checkpoint or "openclip"),
        dtype=config.dtype,
    )


def _parse(argv: list[str]) -> list[str]:
    """Parses the flags; unknown keys and wrong types are wrong input."""
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{error}".strip("'\"")) from None
    except (FileNotFoundError, ImportError) as error:
        raise InputError(f"the config cannot be loaded: {error}") from None


def cli() -> None:
    """Runs `main` and turns errors into exit codes."""
    try:
        sys.exit(main(_parse(sys.argv)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: what was partly written is removed", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    cli()
