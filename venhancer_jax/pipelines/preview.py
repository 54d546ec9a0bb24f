"""A preview of an enhancement: three short pieces of a clip at full quality, and a still."""

import dataclasses
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from venhancer_jax.files import atomic_file
from venhancer_jax.interrupt import keep_on_interrupt, remove_on_interrupt
from venhancer_jax.pipelines.facts import count_segments
from venhancer_jax.pipelines.frame_times import OutputClock
from venhancer_jax.pipelines.job import EnhanceJob
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.stream import enhance_stream
from venhancer_jax.pipelines.system import System
from venhancer_jax.video.resize import resize_bicubic
from venhancer_jax.video.writing.encoders import ENCODERS
from venhancer_jax.video.writing.join import FORMATS, join_segments
from venhancer_jax.video.writing.segment_file import SegmentFile

PIECES = 3
# So that a preview takes about a minute with a small model.
_MOST_FRAMES = 8


@dataclasses.dataclass(frozen=True)
class Preview:
    """What a preview wrote and measured.

    Attributes:
      video: the pieces, one after the other.
      still: a frame of the input, enlarged bicubically, beside that of the output.
      seconds: estimated seconds of the whole enhancement.
    """

    video: Path
    still: Path
    seconds: float


def preview_job(system: System, job: EnhanceJob, progress: Progress) -> Preview:
    """Enhances pieces at the start, in the middle and at the end of a clip.

    Args:
      system: networks with weights.
      job: checked video, whose own target is not touched.
      progress: callback for the progress of each stage.

    Raises:
      InputError: the video cannot be read.
      OSError: the preview cannot be written.
    """
    job = job.with_prompt()
    pieces = cut_pieces(job)
    clock = system.output_clock(job.clip.rate, job.time_base, job.options)
    encoding = pieces[0].encoding(clock)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    base = job.target.stem if job.target.suffix.lower() in FORMATS else job.target.name
    video = job.target.with_name(f"{base}.preview.mp4")
    still = job.target.with_name(f"{base}.preview.png")
    tick, segments, seconds = 0, [], []
    with tempfile.TemporaryDirectory(dir=job.target.parent, prefix=".preview") as folder:
        remove_on_interrupt(Path(folder))
        for number, piece in enumerate(pieces):
            started = time.perf_counter()
            path = Path(folder) / f"{number}.mp4"
            count = 0
            with SegmentFile(path, encoding) as segment:
                for frame, at in _enhanced(system, piece, clock, progress):
                    if count == 0 and number == len(pieces) // 2:
                        _write_still(still, next(iter(piece.frames())).pixels, frame)
                    segment.write(frame, at)
                    count += 1
            segments.append((path, tick))
            tick += count if clock.rate else piece.end_tick * clock.stride
            seconds.append((time.perf_counter() - started) / piece.clip.frames)
        with atomic_file(video) as partial:
            join_segments(Path(partial), segments, encoding, suffix=".mp4", end=tick)
    keep_on_interrupt(Path(folder))
    # The first piece compiles.
    return Preview(video, still, min(seconds) * _computed_frames(system, job))


def cut_pieces(job: EnhanceJob) -> list[EnhanceJob]:
    """Returns jobs of the pieces of a clip: short, of one length, evenly spaced.

    Args:
      job: job of the whole clip.
    """
    frames = job.clip.frames
    length = max(1, min(job.options.window, _MOST_FRAMES, frames // PIECES))
    count = min(PIECES, frames // length)
    codec, files = job.files.codec, job.files
    if ".mp4" not in (ENCODERS[codec].suffixes if codec in ENCODERS else ()):
        codec = "h265" if job.info.picture.is_hdr else "h264"
        files = dataclasses.replace(files, codec=codec, codec_options="", pixel_format="auto")
    starts = [round(i * (frames - length) / max(1, count - 1)) for i in range(count)]
    return [
        dataclasses.replace(
            job,
            first=job.first + start,
            clip=dataclasses.replace(job.clip, frames=length),
            options=job.options.part(start),
            files=files,
        )
        for start in starts
    ]


def _enhanced(
    system: System, piece: EnhanceJob, clock: OutputClock, progress: Progress
) -> Iterator[tuple[np.ndarray, int]]:
    """Yields the frames of the output of a piece with their ticks."""
    passage = piece.passage()
    streamed = enhance_stream(
        system,
        piece.frames(passage=passage),
        rate=piece.clip.rate,
        clock=clock,
        options=piece.options,
        progress=progress,
    )
    for frame, tick in itertools.chain.from_iterable(segment.frames for segment in streamed):
        yield passage.leave(frame, tick * clock.output_base), tick


def _write_still(path: Path, before: np.ndarray, after: np.ndarray) -> None:
    """Writes a picture of the input, enlarged, on the left of that of the output."""
    height, width = after.shape[:2]
    enlarged = resize_bicubic(before[None, ..., :3].astype(np.float32), (height, width))[0]
    sides = [_to_bytes(enlarged, before.dtype), _to_bytes(after[..., :3], after.dtype)]
    encoded = cv2.imencode(".png", np.hstack(sides)[..., ::-1])[1]
    with atomic_file(path) as partial:
        partial.write_bytes(encoded.tobytes())


def _to_bytes(picture: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Converts a picture with the range of `dtype` to uint8."""
    white = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    return np.rint(np.clip(picture.astype(np.float32) * (255 / white), 0, 255)).astype(np.uint8)


def _computed_frames(system: System, job: EnhanceJob) -> int:
    """Returns the input frames of all segments; those where segments overlap count twice."""
    sizes, frames = system.segment_sizes(job.clip.rate, job.options), job.clip.frames
    return frames + (count_segments(sizes, frames) - 1) * sizes.overlap
