"""How far results of GenVE are from their input, by noise level, and how far references lead apart.

    python -m benchmarks.genve_noise --config=genve --config.checkpoint=FOLDER \
        --config.input=VIDEO --config.max_frames=17 --config.flow=dis --references=A.png,B.png

Enhances a clip at noise levels 100, 200 and 300 (`--levels`), with the reference of the config, and
at the level of the config with each of `--references` and without. Distances are root mean squares
in levels from 0 to 255: to the input, resized to the size of the result, and of two references
between their results. Prints JSON. GenVE paper, section 3.3 and figure 8.
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from venhancer_jax.cli.sample import load_system, parse_sample_config
from venhancer_jax.pipelines.genve.options import GenVEOptions
from venhancer_jax.pipelines.genve.system import GenVE
from venhancer_jax.pipelines.jobs import check_jobs
from venhancer_jax.video.frames import as_rgb8
from venhancer_jax.video.resize import resize_bilinear, to_bytes, to_signed

LEVELS = (100, 200, 300)


def measure(
    system: GenVE,
    frames: Sequence[np.ndarray],
    rate: Fraction,
    options: GenVEOptions,
    *,
    levels: Sequence[int] = LEVELS,
    references: Sequence[str] = (),
) -> dict[str, Any]:
    """Enhances a clip at several noise levels and with several references.

    Args:
      system: networks with weights.
      frames: uint8 frames `[H, W, 3]`.
      rate: frames per second.
      options: options of the enhancement.
      levels: noise levels, each by its `noise_aug`.
      references: values of `reference` besides that of the options.

    Returns:
      `noise`: distance to the input by level; `references`: the same by reference; `apart`:
      distance between the results of each two references.
    """

    def enhanced(**changes: Any) -> np.ndarray:
        chosen = dataclasses.replace(options, **changes)
        return np.stack([*system.enhance(frames, rate=rate, options=chosen)]).astype(np.float32)

    by_level = {level: enhanced(noise_aug=level) for level in levels}
    tried = dict.fromkeys((options.reference, *references, "none"))
    by_reference = {name: enhanced(reference=name) for name in tried}
    size = next(iter(by_reference.values())).shape[1:3]
    source = to_bytes(resize_bilinear(to_signed(np.stack(frames)), size)).astype(np.float32)
    pairs = itertools.combinations(by_reference, 2)
    return {
        "noise": {level: _distance(found, source) for level, found in by_level.items()},
        "references": {name: _distance(found, source) for name, found in by_reference.items()},
        "apart": {
            f"{one}, {other}": _distance(by_reference[one], by_reference[other])
            for one, other in pairs
        },
    }


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(one - other))))


def main(argv: Sequence[str]) -> None:
    config, values = parse_sample_config(argv[1:], ("levels", "references"), __doc__)
    if config is None:
        return
    jobs, _ = check_jobs(config)
    job = jobs[0]
    system = load_system(config)
    system.prepare([job.options])
    found = measure(
        system,
        [as_rgb8(frame.pixels) for frame in job.frames()],
        job.clip.rate,
        job.options,  # pyright: ignore[reportArgumentType]
        levels=[int(level) for level in values["levels"].split(",") if level] or LEVELS,
        references=[name for name in values["references"].split(",") if name],
    )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv)
