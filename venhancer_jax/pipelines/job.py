"""A checked video to enhance: what is read, how it is written, what the result follows from."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from venhancer_jax import __version__
from venhancer_jax.files import content_digest
from venhancer_jax.pipelines.captions import caption
from venhancer_jax.pipelines.frame_times import OutputClock
from venhancer_jax.pipelines.options import EnhanceOptions, FileOptions
from venhancer_jax.pipelines.segments import TimedFrame
from venhancer_jax.pipelines.system import Clip, Output
from venhancer_jax.video import VideoInfo, read_frames
from venhancer_jax.video.colour.layers import Passage
from venhancer_jax.video.colour.output_format import output_format
from venhancer_jax.video.colour.picture_format import PictureFormat
from venhancer_jax.video.frames import as_rgb8
from venhancer_jax.video.scenes.cut_list import CutSource, cut_source
from venhancer_jax.video.scenes.duplicates import drop_duplicates
from venhancer_jax.video.tracks.copier import Tracks
from venhancer_jax.video.writing.codec_options import split_codec_options
from venhancer_jax.video.writing.encoding import Encoding
from venhancer_jax.video.writing.image_folder import IMAGES

# Settings that do not change what is written.
_NO_FACTS = {"input", "output", "prompt_file", "name_as_prompt", "report", "restart", "share"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnhanceJob:
    """One video to enhance, checked.

    Attributes:
      source: video to read.
      target: video or, for a codec of images, folder to write; a single image for `is_still`.
      info: facts about the source.
      options: options of the enhancement.
      files: settings of reading and writing.
      clip: part of the source to enhance.
      output: size and rate of the target, as far as they are known before frames are read.
      first: index of the first stored picture of that part.
    """

    source: Path
    target: Path
    info: VideoInfo
    options: EnhanceOptions
    files: FileOptions
    clip: Clip
    output: Output
    first: int

    @property
    def time_base(self) -> Fraction | None:
        """Returns the seconds per tick of unevenly spaced frames; None for a constant rate."""
        times = self.info.times
        return times.time_base if times.rate is None else None

    @property
    def is_still(self) -> bool:
        """Returns whether the target is a single image."""
        return self.output.frames == 1 and self.target.suffix[1:].lower() in IMAGES

    @property
    def is_whole(self) -> bool:
        """Returns whether the source is enhanced to its end."""
        return self.first + self.clip.frames == len(self.info.times)

    @property
    def picture(self) -> PictureFormat:
        """Returns the format of the pictures of the target.

        Raises:
          InputError: the codec cannot have the requested format, or cannot hold HDR.
        """
        height, width = self.output.size
        return output_format(
            self.info.picture,
            codec=self.files.codec,
            width=width,
            height=height,
            pixel_format=self.files.pixel_format,
            hdr=self.files.hdr,
        )

    def passage(self) -> Passage:
        """Returns the way of frames from the source to networks, and of results to the target."""
        return Passage(
            self.info.picture, self.picture, size=self.output.size, hdr_mode=self.files.hdr
        )

    def frames(self, start: int = 0, passage: Passage | None = None) -> Iterator[TimedFrame]:
        """Reads the frames to enhance.

        Args:
          start: index of the first frame, counted from the first one to enhance, without the
            duplicates that are dropped.
          passage: way of the frames, through which their results leave; by default a new one.

        Raises:
          InputError: the source cannot be read.
        """
        passage = passage or self.passage()
        drop = self.files.duplicates == "drop"
        cuts = cut_source(self.files.cuts)
        # Which frames are kept is known from the first one on only.
        begin = 0 if drop else start
        lead = min(begin, cuts.frames_before)
        pictures = read_frames(
            self.info,
            start_time=self.info.times.seconds(self.first + begin - lead),
            max_frames=self.clip.frames - begin + lead,
            allow_damaged=self.files.allow_damaged,
            as_stored=True,
            layers=True,
        )
        pictures = (
            passage.enter(image, self._tick(index) * self._seconds_per_tick)
            for index, image in enumerate(pictures, begin - lead)
        )
        timed = self._timed(cuts, pictures, begin, lead)
        return itertools.islice(timed, start, None) if drop else timed

    def _timed(
        self, cuts: CutSource, pictures: Iterator[np.ndarray], begin: int, lead: int
    ) -> Iterator[TimedFrame]:
        before = list(itertools.islice(pictures, lead))
        marked = cuts.mark(pictures, self.info.times, first=self.first + begin, before=before)
        if self.files.duplicates == "drop":
            for kept in drop_duplicates(marked):
                tick, end = self._tick(kept.index), self._tick(kept.stop)
                yield TimedFrame(kept.pixels, tick, end, kept.starts_scene)
            return
        for i, (pixels, is_cut) in enumerate(marked, begin):
            yield TimedFrame(pixels, self._tick(i), self._tick(i + 1), is_cut)

    def _tick(self, index: int) -> int:
        """Returns the tick of a frame, counted from the first one to enhance."""
        times = self.info.times
        if times.rate is not None:
            return index
        ticks = times.ticks
        stop = self.first + index
        return (int(ticks[stop]) if stop < len(ticks) else times.end) - int(ticks[self.first])

    @property
    def _seconds_per_tick(self) -> Fraction:
        return self.time_base or 1 / self.clip.rate

    @property
    def end_tick(self) -> int:
        """Returns the tick at which the last frame ends, counted from the first one to enhance."""
        return self._tick(self.clip.frames)

    def encoding(self, clock: OutputClock) -> Encoding:
        """Returns how the pictures of the target are encoded.

        Args:
          clock: times at which they are shown.
        """
        height, width = self.output.size
        return Encoding(
            codec=self.files.codec,
            quality=self.files.quality,
            width=width,
            height=height,
            time_base=clock.output_base,
            rate=clock.rate,
            options=split_codec_options(self.files.codec_options),
            picture=self.picture,
        )

    def tracks(self) -> Tracks | None:
        """Returns the other streams of the source that the target has; None for images."""
        if self.files.codec in IMAGES or self.info.pictures:
            return None
        start = self.info.times.seconds(self.first)
        duration = math.inf if self.is_whole else self.output.seconds
        return Tracks(self.source, start, duration, picture_start=self.info.start)

    def with_prompt(self) -> "EnhanceJob":
        """Returns the job with the captioner's text as prompt, where the user gave none.

        Raises:
          InputError: a captioner that returns no text, or a source that cannot be read.
        """
        if self.options.prompt or not self.files.captioner:
            return self
        first = as_rgb8(next(self.frames()).pixels)
        prompt = caption(self.files.captioner, first)
        return dataclasses.replace(self, options=dataclasses.replace(self.options, prompt=prompt))

    def facts(self) -> dict[str, Any]:
        """Returns what the output follows from besides the weights, as JSON values by name."""
        settings = dataclasses.asdict(self.files) | dataclasses.asdict(self.options)
        files = {f"content of {path}": content_digest(path) for path in self.options.files}
        return {
            "input": content_digest(self.source),
            **files,
            "version": __version__,
            **{name: str(value) for name, value in settings.items() if name not in _NO_FACTS},
        }
