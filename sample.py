"""Enhances a video, or a folder of videos.

    python sample.py                                    the tiny preset on its own clip
    python sample.py --config=configs/venhancer.py --config.input=IN.mp4 --config.output=OUT.mp4

Every key of the config can be set: --config.up_scale=2 --config.target_fps=60. Exit codes: 0 done,
2 wrong input, 1 anything else.
"""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from venhancer_jax.errors import InputError
from venhancer_jax.startup import use_compilation_cache

_DEMO = Path(__file__).parent / "configs" / "demo.py"
_PRESETS = ("demo", "venhancer")
_PUBLISHED = {"v1": "venhancer_v1", "v2": "venhancer_v2"}

UNTRAINED = (
    "NOTE: the weights of this preset are UNTRAINED. Size, rate, sound and files of the result are"
    " right; the picture is noise. Use --config=configs/venhancer.py for the published weights."
)


def main(arguments: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code."""
    try:
        config, wants_help = _parse(arguments)
        if wants_help:
            settings = (f"    --config.{key}={value}" for key, value in config.items())
            print(__doc__, "Settings of this config:\n", *settings, sep="\n")
            return 0
        return _enhance(config)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what was partly written is removed", file=sys.stderr)
        return 1


def _enhance(config: ConfigDict) -> int:
    from venhancer_jax.pipelines import run

    jobs, problems = run.check(config)
    use_compilation_cache()
    problems += run.run(config, _system(config), jobs)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _system(config: ConfigDict):
    from convert import fetch
    from venhancer_jax import weights
    from venhancer_jax.pipelines import load

    if config.preset not in _PRESETS:
        raise InputError(f"preset {config.preset!r}: expected one of {', '.join(_PRESETS)}")
    if config.preset == "demo" and not config.checkpoint:
        print(UNTRAINED, flush=True)
        return load.untrained_venhancer(seed=config.seed, dtype=config.dtype)
    if config.version not in _PUBLISHED:
        raise InputError(f"version {config.version!r}: expected one of {', '.join(_PUBLISHED)}")
    checkpoints = {
        "venhancer": config.checkpoint or _PUBLISHED[config.version],
        "vae": config.vae_checkpoint or "svd_vae",
        "text": config.text_checkpoint or "openclip",
    }
    # What is given must be there before the first is converted, which takes minutes.
    for checkpoint in checkpoints.values():
        if checkpoint not in fetch.PUBLISHED and not weights.is_weights(checkpoint):
            fetch.resolve(checkpoint)
    folders = [fetch.weights_of(network, name) for network, name in checkpoints.items()]
    return load.load_venhancer(*folders, dtype=config.dtype)


def _parse(arguments: Sequence[str]) -> tuple[ConfigDict, bool]:
    """The config with the settings of the command line, and whether help is asked for."""
    files, settings = flags.FlagValues(), flags.FlagValues()
    path = flags.DEFINE_string("config", str(_DEMO), "", flag_values=files)
    wants_help = flags.DEFINE_bool("help", False, "", short_name="h", flag_values=files)
    try:
        rest = files(["sample.py", *arguments], known_only=True)
        config = _load_config(str(path.value))
        config_flags.DEFINE_config_dict("config", config, flag_values=settings, sys_argv=rest)
        rest = settings(rest)
    except (AttributeError, KeyError, TypeError) as error:
        reason = error.args[0]
        while isinstance(reason, Exception):  # they come wrapped
            reason = reason.args[0]
        raise InputError(f"no such setting: {reason}. --help lists all of them") from None
    except flags.Error as error:
        raise InputError(f"{error}") from None
    if len(rest) > 1:
        raise InputError(f"unexpected argument {rest[1]!r}: settings are --config.key=value")
    return config, bool(wants_help.value)


def _load_config(path: str) -> ConfigDict:
    """What `get_config` of the file returns."""
    try:
        config = runpy.run_path(path).get("get_config", lambda: None)()
    except Exception as error:  # a config file can raise anything
        raise InputError(f"config {path}: {type(error).__name__}: {error}") from None
    if not isinstance(config, ConfigDict):
        raise InputError(f"config {path}: expected a function get_config() -> ConfigDict in it")
    return config.lock()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
