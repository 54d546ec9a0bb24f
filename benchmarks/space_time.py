"""Compares the shipped model with interpolation, 4 times in space and 2 times in time.

    python -m benchmarks.space_time --clips=FOLDER --work=DIR

The target is the first 17 frames of each video, shrunk and cropped to 256x384; the input is every
second one of them, averaged down to 64x96. Frames are written as `DIR/METHOD/CLIP/*.png`, so that
results of other programs can be put beside them. Prints the means of all clips as JSON. With
`--pictured=CLIP` that clip is drawn, bicubic, shipped model and target side by side: one of its new
frames with `--picture=FILE.png`, all of it with `--loop=FILE.webp`.
"""

import json
import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from absl import app, flags, logging

from venhancer_jax import evaluate
from venhancer_jax.cli.sample import load_system
from venhancer_jax.configs import demo
from venhancer_jax.data.resample import resample, shrink_to_cover, to_uint8
from venhancer_jax.metrics.report import strip_png
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.system import System
from venhancer_jax.video import VideoWriter, list_videos, probe, read_frames

HEIGHT, WIDTH, FRAMES, SCALE = 256, 384, 17, 4
RATE = Fraction(24)
_LOOP_QUALITY = 70

CLIPS = flags.DEFINE_string("clips", None, "folder of videos", required=True)
WORK = flags.DEFINE_string("work", None, "folder to write, by default a temporary one")
PICTURE = flags.DEFINE_string("picture", None, "PNG to write")
LOOP = flags.DEFINE_string("loop", None, "WebP to write")
PICTURED = flags.DEFINE_string("pictured", None, "clip of the picture and of the loop")
METRICS = flags.DEFINE_string(
    "metrics", "psnr,ssim,lpips,vmaf,warping_error", "metrics of venhancer_jax.evaluate"
)


def target_of(path: Path) -> np.ndarray | None:
    """Reads frames `[17, 256, 384, 3]` of a video; None if it is too short."""
    frames = [*read_frames(probe(path), max_frames=FRAMES)]
    if len(frames) < FRAMES:
        return None
    return shrink_to_cover(np.stack(frames), HEIGHT, WIDTH)[:, :HEIGHT, :WIDTH]


def interpolated(low: np.ndarray, method: str) -> np.ndarray:
    """Enlarges frames and inserts the mean of two neighbours between them."""
    large = resample(low.astype(np.float32), (HEIGHT, WIDTH), method)
    out = np.empty((2 * len(large) - 1, *large.shape[1:]), np.float32)
    out[::2], out[1::2] = large, (large[:-1] + large[1:]) / 2
    return to_uint8(out)


def enhanced(low: np.ndarray, system: System) -> np.ndarray:
    """Enhances frames as `configs/demo.py` does."""
    config = demo.get_config().unlock()
    config.update(up_scale=float(SCALE), target_fps=str(RATE))
    options = options_of(config, config.prompt)
    frames = system.enhance(iter(low), rate=RATE / 2, options=options)
    return np.stack([*frames])[:FRAMES]


def write(folder: Path, frames: np.ndarray) -> None:
    with VideoWriter(
        folder, width=frames.shape[2], height=frames.shape[1], rate=RATE, codec="png"
    ) as out:
        for frame in frames:
            out.write(frame)


def draw(beside: np.ndarray) -> None:
    """Draws a frame, and the clip forwards and backwards.

    Args:
      beside: uint8 frames `[F, H, W, 3]` of all methods side by side.
    """
    if PICTURE.value:
        Path(PICTURE.value).write_bytes(strip_png([beside[FRAMES // 2 - 1]]))
    if LOOP.value:
        loop = cv2.Animation()
        loop.frames = [*np.ascontiguousarray(np.concatenate([beside, beside[-2:0:-1]])[..., ::-1])]
        loop.durations = [round(1000 / RATE)] * len(loop.frames)
        cv2.imwriteanimation(LOOP.value, loop, [cv2.IMWRITE_WEBP_QUALITY, _LOOP_QUALITY])


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    work = Path(WORK.value or tempfile.mkdtemp())
    system = load_system(demo.get_config())
    for path in list_videos(Path(CLIPS.value)):
        if (target := target_of(path)) is None:
            print(f"{path.name}: fewer than {FRAMES} frames, skipped", flush=True)
            continue
        small = (HEIGHT // SCALE, WIDTH // SCALE)
        low = to_uint8(resample(target[::2].astype(np.float32), small, "area"))
        results = {
            "target": target,
            "bilinear": interpolated(low, "bilinear"),
            "bicubic": interpolated(low, "bicubic"),
            "shipped": enhanced(low, system),
        }
        for method, frames in results.items():
            write(work / method / path.stem, frames)
        if path.stem == PICTURED.value:
            draw(np.concatenate([results[m] for m in ("bicubic", "shipped", "target")], axis=2))
    means = {}
    for method in sorted(folder.name for folder in work.iterdir() if folder.is_dir()):
        if method != "target":
            scores = work / f"{method}.json"
            arguments = [f"--pred={work / method}", f"--target={work / 'target'}"]
            if evaluate.main([*arguments, f"--metrics={METRICS.value}", f"--json={scores}"]):
                raise SystemExit(2)
            means[method] = json.loads(scores.read_text())["mean"]
    print(json.dumps(means, indent=1))


if __name__ == "__main__":
    app.run(main)
