"""Facts on a run before it starts: sizes, frames, segments, windows."""

import dataclasses
import math
from pathlib import Path

import jax

from venhancer_jax.pipelines.frame_times import OutputClock
from venhancer_jax.pipelines.job import EnhanceJob
from venhancer_jax.pipelines.segments import SegmentSizes
from venhancer_jax.pipelines.system import System


def describe_run(
    system: System, job: EnhanceJob, clock: OutputClock, folder: Path, finished: int
) -> str:
    """Describes a run in a few lines.

    Args:
      system: networks with weights.
      job: checked video.
      clock: times at which the frames of the output are shown.
      folder: job folder.
      finished: number of segments that are finished.
    """
    info, output, clip = job.info, job.output, job.clip
    sizes = system.segment_sizes(clip.rate, job.options)
    length = segment_frames(sizes, clip.frames)
    plan = system.plan(dataclasses.replace(clip, frames=length), job.options)
    tiles = system.plan(
        dataclasses.replace(clip, frames=min(sizes.window, length)), job.options
    ).window_count
    rate = "at its own times" if clock.rate is None else f"{float(clock.rate):g} per second"
    work_height, work_width = plan.working_size
    height, width = output.size
    segments = count_segments(sizes, clip.frames)
    lines = [
        f"{job.source} -> {job.target}",
        f"  input     {info.width}x{info.height}, {clip.frames} frames,"
        f" {float(clip.rate):g} per second, prompt {job.options.prompt!r}",
        f"  output    {width}x{height}, {output.frames} frames, {rate}, {output.seconds:.1f} s",
        f"  work      {work_width}x{work_height}"
        + (f" in {tiles} tiles" if tiles > 1 else "")
        + f", {_count(plan.window_count, 'window')} of up to {plan.window} frames in a segment",
        f"  segments  {segments} of up to {length} input frames; more where scenes change",
        f"  progress  is kept in {folder}; an interrupted run resumes",
    ]
    if plan.spilled and not sizes.windows and jax.process_count() == 1:
        lines.append("  latents   of a scene wait on the disk, in that folder, between steps")
    if finished:
        lines.append(f"resuming: {finished} segments are finished")
    return "\n".join(lines)


def segment_frames(sizes: SegmentSizes, frames: int) -> int:
    """Returns the input frames of the longest segment of a clip without cuts.

    Args:
      sizes: sizes of segments.
      frames: number of input frames.
    """
    return min(frames, sizes.step + sizes.overlap) if sizes.windows else frames


def count_segments(sizes: SegmentSizes, frames: int) -> int:
    """Returns the number of segments of a clip without cuts.

    Args:
      sizes: sizes of segments.
      frames: number of input frames.
    """
    if not sizes.windows:
        return 1
    return 1 + max(0, math.ceil((frames - sizes.overlap - sizes.step) / sizes.step))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
