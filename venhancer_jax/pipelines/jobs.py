"""Jobs of a config: one checked video each, before weights are loaded."""

import dataclasses
import itertools
import math
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from venhancer_jax import __version__
from venhancer_jax.errors import InputError
from venhancer_jax.files import content_digest
from venhancer_jax.pipelines.config import check_values, options_of, system_of
from venhancer_jax.pipelines.frame_times import OutputClock
from venhancer_jax.pipelines.options import EnhanceOptions, FileOptions, parse_fps
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.pipelines.segments import TimedFrame
from venhancer_jax.pipelines.system import Clip, Output
from venhancer_jax.settings import from_config
from venhancer_jax.sharding.processes import log_on_main
from venhancer_jax.video import (
    VideoInfo,
    check_prompts,
    crop_bars,
    first_frame,
    list_inputs,
    probe,
    prompt_for,
    read_frames,
)
from venhancer_jax.video.colour.layers import Passage
from venhancer_jax.video.colour.output_format import caution, losses, output_format
from venhancer_jax.video.colour.picture_format import PictureFormat
from venhancer_jax.video.scenes.cut_list import CutSource, cut_source
from venhancer_jax.video.scenes.duplicates import drop_duplicates
from venhancer_jax.video.tracks.copier import Tracks
from venhancer_jax.video.writing.codec_options import split_codec_options
from venhancer_jax.video.writing.encoders import check_options, default_suffix
from venhancer_jax.video.writing.encoding import Encoding
from venhancer_jax.video.writing.image_folder import IMAGES
from venhancer_jax.video.writing.write import check_target

RESULTS = Path("results")
# Settings that do not change what is written.
_NO_FACTS = {"input", "output", "prompt_file", "name_as_prompt", "restart", "share"}


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

    def facts(self) -> dict[str, Any]:
        """Returns what the output follows from besides the weights, as JSON values by name."""
        settings = dataclasses.asdict(self.files) | dataclasses.asdict(self.options)
        return {
            "input": content_digest(self.source),
            "version": __version__,
            **{name: str(value) for name, value in settings.items() if name not in _NO_FACTS},
        }


def check_jobs(config: ConfigDict) -> tuple[list[EnhanceJob], list[str]]:
    """Checks everything that can be checked before weights are loaded.

    Args:
      config: config of `enhancement_config`.

    Returns:
      Jobs, and messages about the videos of a folder that cannot be enhanced.

    Raises:
      InputError: a wrong value, or nothing that can be enhanced.
    """
    check_values(config)
    try:
        pairs = list_jobs(config)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error
    if config.prompt_file and not config.name_as_prompt:
        check_prompts(config.prompt_file, len(pairs))
    jobs, problems = [], []
    for i, (source, target) in enumerate(pairs):
        try:
            jobs.append(check_job(config, source, target, index=i))
        except InputError as error:
            if len(pairs) == 1:
                raise
            problems.append(skipped(source, str(error)))
    if not jobs:
        raise InputError(
            f"none of the {len(pairs)} videos can be enhanced; the first: {problems[0]}"
        )
    return jobs, problems


def list_jobs(config: ConfigDict) -> list[tuple[Path, Path]]:
    """Lists source and target of every video of a config.

    Raises:
      InputError: no such folder, a folder without videos, or results that would replace each other
        or an input.
    """
    if not config.input:
        raise InputError("no input: set --config.input=VIDEO, or a folder of videos")
    source = Path(config.input)
    output = Path(config.output) if config.output else RESULTS
    inputs = list_inputs(source) if source.is_dir() else [source]
    if inputs != [source]:
        pairs = [(video, output / _name(video, config)) for video in inputs]
        if output.exists() and not output.is_dir():
            raise InputError(f"output {output} is a file, but input {source} is a folder")
    elif not config.output or (
        config.codec not in IMAGES and (output.is_dir() or config.output.endswith("/"))
    ):
        pairs = [(source, output / _name(source, config))]
    else:
        pairs = [(source, output)]
    sources: dict[Path, Path] = {}
    for video, target in pairs:
        if target.exists() and any(target.samefile(other) for other, _ in pairs if other.exists()):
            raise InputError(f"{target}: this output is also an input. Choose another output")
        if (first := sources.setdefault(target, video)) != video:
            raise InputError(f"{first} and {video} would both become {target}: rename one")
    return pairs


def skipped(source: Path, message: str) -> str:
    """Logs that a video is skipped; returns the reason, which names the video."""
    log_on_main(f"skipped {source}")
    return message if message.startswith(str(source)) else f"{source}: {message}"


def check_job(config: ConfigDict, source: Path, target: Path, *, index: int) -> EnhanceJob:
    """Checks one video of a config.

    Args:
      config: config of `enhancement_config`.
      source: video to read.
      target: final name of the result.
      index: position of the video among those of the config, from 0.

    Raises:
      InputError: the video cannot be read or the result cannot be written.
    """
    rate = parse_fps(config.picture_fps, "picture_fps")
    info = probe(source, deinterlace=config.deinterlace, picture_rate=rate)
    if config.bars == "crop":
        info = crop_bars(info)
    prompt = prompt_for(
        source,
        index=index,
        prompt=config.prompt,
        prompt_file=config.prompt_file or None,
        name_as_prompt=config.name_as_prompt,
    )
    options = options_of(config, prompt)
    files = from_config(FileOptions, config)
    if files.start_time >= info.times.duration:
        raise InputError(
            f"start_time={files.start_time}: {source} lasts {float(info.times.duration):.3f} s;"
            " give a time before its end"
        )
    first = first_frame(info, files.start_time, as_stored=True)
    left = len(info.times) - first
    clip = Clip(
        frames=min(left, files.max_frames or left),
        height=info.height,
        width=info.width,
        rate=info.times.rate or len(info.times) / info.times.duration,
    )
    job = EnhanceJob(
        source=source,
        target=target,
        info=info,
        options=options,
        files=files,
        clip=clip,
        output=find_system(system_of(config)).output(clip, options),
        first=first,
    )
    if job.is_still:
        files = dataclasses.replace(files, codec=target.suffix[1:].lower())
        job = dataclasses.replace(job, files=files)
    cut_source(files.cuts).frames(info.times)
    job.frames()
    if not job.is_still:
        check_target(target, files.codec)
        check_options(files.codec, split_codec_options(files.codec_options))
        if said := caution(job.picture, files.codec):
            log_on_main(f"{target}: {said}")
    elif target.is_dir():
        raise InputError(f"{target}: a folder of this name is in the way.")
    if lost := losses(info.picture, job.picture, files.codec):
        log_on_main(f"{target}: not stored as in {source}: {'; '.join(lost)}")
    _check_writable(target)
    return job


def _check_writable(target: Path) -> None:
    """Tries the folder of a target or, where that does not exist yet, the nearest one above."""
    try:
        folder = next(folder for folder in target.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({error.strerror}). Choose another output"
        ) from error


def _name(source: Path, config: ConfigDict) -> str:
    stem = source.resolve().name if source.is_dir() else source.stem
    return stem + default_suffix(config.codec)
