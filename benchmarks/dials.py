"""Measures what the dials of the look do to clips, as tables; exit code 1 where one fails.

    python -m benchmarks.dials --clips=FOLDER

Each clip is the first frames of a video, shrunk to 80x112 pixels, and enlarged by the shipped model
as `configs/demo.py` does, at the rate of the clip. For `fidelity` the start has noise, as that of
the published model does: the shipped one starts from the input, from which it hardly departs. For
`grain` noise is added to the clip.
`distance` is the root mean square difference of the result, averaged down, from the input, in
levels of 255; `coarse` that of areas of 8x8 pixels of the input; `detail` the standard deviation
of the Laplacian of the result. Along five values of a dial they have to rise or fall as the table
says.

For `colour` the frames of the decoder are given a warm cast; `colour error` is the distance of
large areas of the result from those of the input, in CIELAB, which each way has to halve.
"""

import dataclasses
import itertools
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from absl import app, flags, logging

from venhancer_jax.configs import demo
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.venhancer.load import demo_venhancer
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import SpacePlan
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.startup import use_compilation_cache
from venhancer_jax.video import list_videos, read_frames
from venhancer_jax.video.colour.cielab import rgb_to_lab
from venhancer_jax.video.colour.colour_fix import COLOURS
from venhancer_jax.video.colour.levels import luma
from venhancer_jax.video.resize import resize_area, to_signed

CLIPS = flags.DEFINE_string("clips", None, "folder of videos", required=True)
FRAMES = flags.DEFINE_integer("frames", 2, "frames of each clip")

HEIGHT, WIDTH, SCALE = 80, 112, 2
RATE = Fraction(24)
NOISE = 6.0
FROM_NOISE = {"noise_levels": 50, "start_noise": 1.0}
MEASURES = "distance", "coarse", "detail"
# Values of each dial, and the sign of the change of each measure; 0 is not checked.
DIALS: dict[str, tuple[tuple[float, ...], int, int, int]] = {
    "fidelity": ((0.0, 0.25, 0.5, 0.75, 1.0), -1, -1, 0),
    "noise_aug": ((0, 75, 150, 225, 300), 1, 0, 1),
    "grain": ((0.0, 0.25, 0.5, 0.75, 1.0), 0, 0, 1),
}
AREAS = HEIGHT // 8, WIDTH // 8


WARMTH = np.array([0.1, 0, -0.1], np.float32)


class WarmVEnhancer(VEnhancer):
    """A system that leaves a cast."""

    def decode_frames(
        self, latents: jax.Array, space: SpacePlan, options: VEnhancerOptions
    ) -> Iterator[jax.Array]:
        """Decodes latents as the system does, and warms the frames."""
        for frames in super().decode_frames(latents, space, options):
            yield frames * np.array([1, 0.95, 0.8], np.float32) + WARMTH


def shrunk(path: Path) -> np.ndarray:
    """Reads the first frames of a video, uint8 `[F, H, W, 3]`, shrunk to the size of a clip."""
    frames = read_frames(path, max_frames=FRAMES.value)
    size = WIDTH, HEIGHT
    return np.stack([cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in frames])


def enhanced(system: VEnhancer, clip: np.ndarray, **changes: Any) -> np.ndarray:
    """Enhances a clip as the demo does, with changes of its options."""
    config = demo.get_config().unlock()
    config.update(up_scale=float(SCALE), fps_scale=1.0)
    options = dataclasses.replace(options_of(config, config.prompt), **changes)
    return np.stack([*system.enhance(iter(clip), rate=RATE, options=options)])


def distance(result: np.ndarray, clip: np.ndarray, size: tuple[int, int]) -> float:
    """Computes the difference of a result from the clip, both averaged to a size, in levels."""
    averaged = (resize_area(x.astype(np.float32), size) for x in (result, clip))
    return float(np.sqrt(np.square(np.subtract(*averaged)).mean()))


def detail(result: np.ndarray) -> float:
    """Computes the standard deviation of the Laplacian of luma, in levels."""
    planes = 255 * luma(result)[..., 0]
    return float(np.mean([cv2.Laplacian(plane, cv2.CV_64F).std() for plane in planes]))


def colour_error(result: np.ndarray, clip: np.ndarray) -> float:
    """Computes the distance of large areas in CIELAB."""
    labs = (rgb_to_lab(resize_area(to_signed(x), AREAS)) for x in (result, clip))
    return float(np.sqrt(np.square(np.subtract(*labs)).sum(-1)).mean())


def runs_one_way(values: list[float], sign: int) -> bool:
    """Returns whether each value is above the one before (sign 1) or below it (-1)."""
    return not sign or all(sign * (b - a) > 0 for a, b in itertools.pairwise(values))


def row(*cells: object) -> str:
    """Formats a row of a table."""
    return f"| {' | '.join(f'{x:.2f}' if isinstance(x, float) else str(x) for x in cells)} |"


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.ERROR)
    use_compilation_cache()
    system = demo_venhancer()
    parts = {f.name: getattr(system, f.name) for f in dataclasses.fields(system) if f.init}
    warm, failed, colours = WarmVEnhancer(**parts), [], []
    print("| clip | dial | measure | " + " | ".join("12345") + " |\n" + "| --- " * 8 + "|")
    for path in list_videos(Path(CLIPS.value)):
        clip = shrunk(path)
        grain = NOISE * np.random.default_rng(0).standard_normal((*clip.shape[:3], 1))
        noisy = np.rint(clip + grain).clip(0, 255).astype(np.uint8)
        for dial, (values, *signs) in DIALS.items():
            source = noisy if dial == "grain" else clip
            others = FROM_NOISE if dial == "fidelity" else {}
            results = [enhanced(system, source, **{dial: value}, **others) for value in values]
            measured = (
                [distance(x, source, (HEIGHT, WIDTH)) for x in results],
                [distance(x, source, AREAS) for x in results],
                [detail(x) for x in results],
            )
            for name, numbers, sign in zip(MEASURES, measured, signs, strict=True):
                wanted = {1: ", rises", -1: ", falls", 0: ""}[sign]
                print(row(path.stem, dial, name + wanted, *numbers), flush=True)
                if not runs_one_way(numbers, sign):
                    failed.append(f"{path.stem}: {name} along {dial}")
        errors = {c: colour_error(enhanced(warm, clip, colour=c), clip) for c in COLOURS}
        colours.append(row(path.stem, *errors.values()))
        failed += [
            f"{path.stem}: colour error of {c}"
            for c, error in errors.items()
            if c != "none" and error > errors["none"] / 2
        ]
    print("\n" + row("colour error", *COLOURS) + "\n" + "| --- " * 5 + "|")
    print("\n".join(colours))
    if failed:
        sys.exit("not as they should be:\n  " + "\n  ".join(failed))


if __name__ == "__main__":
    app.run(main)
