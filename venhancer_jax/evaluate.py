"""Measures how close videos are to their targets, and how steady they are.

    python -m venhancer_jax.evaluate --pred=RESULTS --target=TARGETS --json=scores.json
    python -m venhancer_jax.evaluate --pred=a.mp4 --target=b.mp4 --metrics=psnr,ssim --strip=ab.png

A clip is a video, or a folder of images; clips of two folders are matched by name without suffix.

Metrics, BT.709 where luma is meant:
    psnr            dB, RGB, of the mean squared error of all frames; psnr_y: of luma
    psnr_frames     dB, RGB, mean over the frames: infinite if one of them is exact
    ssim            Wang et al. 2004, mean of R, G and B; ssim_y: of luma
    ms_ssim         Wang et al. 2003, of luma, frames of at least 176 pixels each way
    lpips           Zhang et al. 2018, AlexNet
    vmaf            model v0.6.1
    warping_error   Lai et al. 2018, squared, values from 0 to 1, by DIS flow of the target
    tof             Chu et al. 2020, pixels, by DIS flow
    flicker         levels of 255 by which frames jitter more than the target's; below 0 less
    lr_consistency  dB, RGB, of the result averaged down to the low-resolution input (--lr)

Exit codes: 0 done, 2 wrong input.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_write
from venhancer_jax.metrics import box_resize, mean_squared_error, report, suite, vmaf
from venhancer_jax.metrics.clips import Clip, clip_name, find_clips, is_clip, open_clip, pair
from venhancer_jax.metrics.psnr import decibels


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """One clip to measure, with sizes and numbers of frames checked.

    Attributes:
      pred: clip of the result.
      target: clip of the target.
      low: low-resolution input of the result, or None.
      low_ratio: frames of the result for each frame of the input.
    """

    pred: Clip
    target: Clip
    low: Clip | None
    low_ratio: Fraction


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; returns the exit code.

    Args:
      arguments: command-line arguments without the program.
    """
    options = _parse(arguments)
    try:
        _evaluate(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m venhancer_jax.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--pred", type=Path, required=True, help="the result: a clip, or a folder of clips")
    add("--target", type=Path, required=True, help="the target: a clip, or a folder of clips")
    add("--lr", type=Path, help="low-resolution input of the result; adds lr_consistency")
    add("--metrics", help=f"names with commas (default: {','.join(suite.DEFAULT)} if installed)")
    add("--json", type=Path, help="writes the scores, unrounded, to this file")
    add("--strip", type=Path, help="writes a .png: result | target | 4 x error of middle frames")
    add("--max_frames", type=int, help="largest number of frames of each clip")
    add("--allow_unmatched", action="store_true", help="skips clips without a counterpart")
    return parser.parse_args(arguments)


def _evaluate(options: argparse.Namespace) -> None:
    # Wrong input is reported before the first frame is measured.
    if options.max_frames is not None and options.max_frames < 1:
        raise InputError(f"--max_frames={options.max_frames}: expected 1 or more.")
    if options.strip and options.strip.suffix.lower() != ".png":
        raise InputError(f"--strip={options.strip}: expected a name ending in .png.")
    for path in filter(None, (options.json, options.strip)):
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise InputError(f"{path}: expected a file in a folder that exists.")
    wanted = None if options.metrics is None else options.metrics.split(",")
    names, notes = suite.choose(wanted)
    if options.lr and "lr_consistency" not in names:
        names.append("lr_consistency")
    if "lr_consistency" in names and not options.lr:
        raise InputError("lr_consistency: give the low-resolution input with --lr.")
    jobs, skipped = _jobs(options)
    for note in [*notes, *skipped]:
        print(f"note: {note}", file=sys.stderr)

    scores, rows = {}, []
    for name, job in jobs.items():
        scores[name], row = _measure(job, names, options.max_frames)
        rows.append(row)
    print(report.table(scores))
    if options.json:
        _write(options.json, report.to_json(scores).encode())
    if options.strip:
        _write(options.strip, report.strip_png(rows))


def _jobs(options: argparse.Namespace) -> tuple[dict[str, EvaluateJob], list[str]]:
    """Returns jobs by the names of their clips, and messages on skipped clips."""
    allow = options.allow_unmatched
    pairs, notes = pair(options.pred, options.target, allow_unmatched=allow)
    lows: dict[str, Path] = {}
    if options.lr and is_clip(options.lr) and len(pairs) == 1:
        lows[next(iter(pairs))] = options.lr
    elif options.lr:
        lows = find_clips(options.lr)
        alone = [
            f"{pairs[name][0]} has no counterpart in {options.lr}" for name in pairs.keys() - lows
        ]
        if not is_clip(options.pred):
            known = {clip_name(path) for path in find_clips(options.pred).values()}
            alone += [
                f"{lows[name]} has no counterpart in {options.pred}" for name in lows.keys() - known
            ]
        alone.sort()
        if alone and not (allow and pairs.keys() & lows):
            raise InputError("; ".join(alone) + ". Clips are matched by name without suffix.")
        notes += alone
    jobs = {}
    for name, (pred, target) in pairs.items():
        jobs[name] = _checked(pred, target, lows.get(name))
    return jobs, notes


def _checked(pred_path: Path, target_path: Path, low_path: Path | None) -> EvaluateJob:
    pred, target = open_clip(pred_path), open_clip(target_path)
    if (pred.width, pred.height) != (target.width, target.height):
        raise InputError(
            f"{pred.path} is {pred.width}x{pred.height}, but {target.path} is "
            f"{target.width}x{target.height}: expected the same size."
        )
    if pred.count != target.count:
        raise InputError(
            f"{pred.path} has {pred.count} frames, but {target.path} has {target.count}: expected "
            "the same number."
        )
    low = None if low_path is None else open_clip(low_path)
    ratio = Fraction(1) if low is None else _frames_each(pred, low)
    return EvaluateJob(pred=pred, target=target, low=low, low_ratio=ratio)


def _frames_each(pred: Clip, low: Clip) -> Fraction:
    """Returns frames of the result for each frame of the input; checks that durations agree."""
    if low.width > pred.width or low.height > pred.height:
        raise InputError(
            f"{low.path} is {low.width}x{low.height}, larger than {pred.path} with "
            f"{pred.width}x{pred.height}: expected the input of the result."
        )
    if pred.rate and low.rate:
        ratio = pred.rate / low.rate
        agree = abs(pred.count - low.count * ratio) <= max(ratio, 1)
    else:
        # Without rates: frames after every one of the input, or only between two of them.
        even = pred.count % low.count == 0 or low.count == 1
        ratio = Fraction(
            pred.count if even else pred.count - 1, low.count if even else low.count - 1
        )
        agree = ratio.denominator == 1 and ratio >= 1
    if not agree:
        raise InputError(
            f"{pred.path} has {pred.count} frames, but {low.path} has {low.count}: they do not "
            "last equally long."
        )
    return ratio


def _measure(
    job: EvaluateJob, names: Sequence[str], max_frames: int | None
) -> tuple[dict[str, float | None], np.ndarray]:
    """Returns the scores of a clip, and its row of the picture strip."""
    count = min(job.pred.count, max_frames or job.pred.count)
    clip = suite.ClipScore(names)
    row = None
    for index, (pred, target) in enumerate(_together(job, max_frames)):
        clip.add(pred, target)
        if index == count // 2 or row is None:
            row = report.strip_row(pred, target)
    assert row is not None
    scores = clip.results()
    if "vmaf" in names:
        scores["vmaf"] = vmaf(job.pred.frames(max_frames), job.target.frames(max_frames))
    if "lr_consistency" in names:
        scores["lr_consistency"] = _lr_consistency(job, max_frames)
    return {name: scores[name] for name in names}, row


def _together(job: EvaluateJob, max_frames: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    preds, targets = job.pred.frames(max_frames), job.target.frames(max_frames)
    try:
        yield from zip(preds, targets, strict=True)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{job.pred.path} and {job.target.path}: one of them breaks off before the other. "
            "Enhance it again."
        ) from error


def _lr_consistency(job: EvaluateJob, max_frames: int | None) -> float | None:
    """Measures frames of the input at whose times the result has a frame."""
    if job.low is None:
        return None
    lows = job.low.frames()
    taken, low = -1, None
    errors = []
    for index, pred in enumerate(job.pred.frames(max_frames)):
        position = index / job.low_ratio
        if position.denominator != 1:
            continue
        while taken < math.floor(position) and (low := next(lows, None)) is not None:
            taken += 1
        if low is None:
            break
        small = box_resize(pred[None], job.low.height, job.low.width)
        errors.append(float(mean_squared_error(small, low[None])[0]))
    return float(decibels(float(np.mean(errors))))


def _write(path: Path, content: bytes) -> None:
    try:
        atomic_write(path, content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
