"""Compares the quality of frames that are enhanced in tiles with that of whole frames.

    python -m benchmarks.tile_quality --clips=FOLDER

The target is the first frames of each video, shrunk and cropped to `--size`; the input is every
second one of them, a quarter of the size. The shipped model enhances each input whole
(`tile=none`) and in tiles. Prints one row for each value of `--tiles`: the number of tiles of the
denoiser, means of all clips, PSNR to the whole frames, and the jump across borders of tiles over
that of whole frames at the same positions (`metrics/seams.py`). With `--work=DIR` frames are kept
as `DIR/TILE/CLIP/*.png`.
"""

import itertools
import json
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
from absl import app, flags, logging

from benchmarks.space_time import CLIPS, METRICS, SCALE, WORK, write
from venhancer_jax import evaluate
from venhancer_jax.cli.sample import load_system
from venhancer_jax.configs import demo
from venhancer_jax.data.resample import resample, shrink_to_cover, to_uint8
from venhancer_jax.metrics.psnr import psnr
from venhancer_jax.metrics.seams import Axis, seam_index
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.pieces import Window
from venhancer_jax.pipelines.system import Clip, System
from venhancer_jax.pipelines.venhancer.plan import VEnhancerPlan
from venhancer_jax.video import list_videos, probe, read_frames

SIZE = flags.DEFINE_string("size", "512x768", "height and width of the output")
FRAMES = flags.DEFINE_integer("frames", 9, "frames of each target, an odd number")
TILES = flags.DEFINE_list("tiles", ["none", "auto", "256"], "values of tile; none comes first")
OVERLAP = flags.DEFINE_integer("tile_overlap", None, "pixels beyond a tile; by default the model's")
MOST = flags.DEFINE_integer("most_clips", None, "videos to enhance at most")
RATE = Fraction(24)
_PIXELS = 4  # of a latent of the shipped model, each way


def target_of(path: Path, height: int, width: int) -> np.ndarray | None:
    """Reads the target of a video, `[F, H, W, 3]`; None if it is too short or too small."""
    info = probe(path)
    if info.height < height or info.width < width:
        return None
    frames = [*read_frames(info, max_frames=FRAMES.value)]
    if len(frames) < FRAMES.value:
        return None
    return shrink_to_cover(np.stack(frames), height, width)[:, :height, :width]


def enhanced(
    low: np.ndarray, system: System, tile: str
) -> tuple[np.ndarray, Sequence[Window], Sequence[Window]]:
    """Enhances frames; returns them, and the denoiser's tiles of rows and of columns."""
    config = demo.get_config().unlock()
    config.update(up_scale=float(SCALE), target_fps=str(RATE), tile=tile)
    config.tile_overlap = OVERLAP.value
    options = options_of(config, config.prompt)
    clip = Clip(frames=len(low), height=low.shape[1], width=low.shape[2], rate=RATE / 2)
    space = cast(VEnhancerPlan, system.plan(clip, options)).space
    frames = system.enhance(iter(low), rate=RATE / 2, options=options)
    return np.stack([*frames])[: FRAMES.value], space.rows, space.columns


def jump(
    frames: np.ndarray, whole: np.ndarray, rows: Sequence[Window], columns: Sequence[Window]
) -> float | None:
    """Computes the seam index at the middles of overlaps over that of whole frames there."""
    axes: dict[Axis, Sequence[Window]] = {"rows": rows, "columns": columns}
    ratios = []
    for axis, windows in axes.items():
        pairs = itertools.pairwise(windows)
        borders = [_PIXELS * (stop + start) // 2 for (_, stop), (start, _) in pairs]
        if borders:
            tiled, expected = (seam_index(x, borders, axis=axis) for x in (frames, whole))
            ratios.append(tiled / expected)
    return float(np.mean(ratios)) if ratios else None


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    height, width = map(int, SIZE.value.split("x"))
    work = Path(WORK.value or tempfile.mkdtemp())
    system = load_system(demo.get_config())
    counts: dict[str, int] = {}
    likeness: dict[str, list[float]] = {tile: [] for tile in TILES.value}
    jumps: dict[str, list[float]] = {tile: [] for tile in TILES.value}
    used = 0
    for path in list_videos(Path(CLIPS.value)):
        if used == MOST.value:
            break
        if (target := target_of(path, height, width)) is None:
            print(f"{path.name}: too short or too small, skipped", flush=True)
            continue
        used += 1
        write(work / "target" / path.stem, target)
        small = (height // SCALE, width // SCALE)
        low = to_uint8(resample(target[::2].astype(np.float32), small, "area"))
        whole: np.ndarray | None = None
        for tile in TILES.value:
            frames, rows, columns = enhanced(low, system, tile)
            whole = frames if whole is None else whole
            counts[tile] = len(rows) * len(columns)
            likeness[tile].append(float(np.minimum(psnr(frames, whole), 100).mean()))
            if (ratio := jump(frames, whole, rows, columns)) is not None:
                jumps[tile].append(ratio)
            write(work / tile / path.stem, frames)
    table = []
    for tile in TILES.value:
        scores = work / f"{tile}.json"
        arguments = [f"--pred={work / tile}", f"--target={work / 'target'}"]
        if evaluate.main([*arguments, f"--metrics={METRICS.value}", f"--json={scores}"]):
            raise SystemExit(2)
        row = {"tile": tile, "tiles": counts[tile]} | json.loads(scores.read_text())["mean"]
        row["psnr_to_whole"] = float(np.mean(likeness[tile]))
        row["jump_to_whole"] = float(np.mean(jumps[tile])) if jumps[tile] else None
        table.append(row)
    print(json.dumps({"clips": used, "size": SIZE.value, "tiles": table}, indent=1))


if __name__ == "__main__":
    app.run(main)
