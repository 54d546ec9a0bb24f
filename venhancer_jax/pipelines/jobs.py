"""Jobs of a config: one checked video each, before weights are loaded."""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import check_values, options_of, system_of
from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.pipelines.system import Clip, Output
from venhancer_jax.sharding.processes import log_on_main
from venhancer_jax.video import (
    VideoInfo,
    VideoWriter,
    check_prompts,
    first_frame,
    list_videos,
    probe,
    prompt_for,
    read_frames,
)

RESULTS = Path("results")
# All sound of the source, also behind its last picture.
_ALL_SOUND = 1e9  # seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnhanceJob:
    """One video to enhance, checked.

    Attributes:
      source: video to read.
      target: video or, for `codec="png"`, folder to write.
      info: facts about the source.
      options: options of the enhancement.
      clip: the part of the source to enhance.
      output: size and rate of the target.
      start_time: seconds of the source to skip.
      max_frames: frames of the source to read at most, or None.
      allow_damaged: whether a damaged source is enhanced as far as it can be read.
      codec: encoding of the target.
      quality: quality of the encoding, 0 to 1.
    """

    source: Path
    target: Path
    info: VideoInfo
    options: EnhanceOptions
    clip: Clip
    output: Output
    start_time: float
    max_frames: int | None
    allow_damaged: bool
    codec: str
    quality: float

    def frames(self) -> Iterator[np.ndarray]:
        """Reads the frames to enhance, uint8 RGB `[H, W, 3]`.

        Raises:
          InputError: the source cannot be read.
        """
        return read_frames(
            self.info,
            start_time=self.start_time,
            max_frames=self.max_frames,
            allow_damaged=self.allow_damaged,
        )

    def writer(self) -> VideoWriter:
        """Opens no file yet; returns the writer of the target.

        Raises:
          InputError: the target cannot have this codec.
        """
        first = first_frame(self.info, self.start_time)
        whole = self.clip.frames == self.info.frames - first
        height, width = self.output.size
        return VideoWriter(
            self.target,
            width=width,
            height=height,
            rate=self.output.rate,
            codec=self.codec,
            quality=self.quality,
            audio_from=self.source if self.info.audio_codec else None,
            audio_start=self.start_time,
            audio_duration=_ALL_SOUND if whole else self.output.seconds,
        )


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
            jobs.append(_check_job(config, source, target, index=i))
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
    if source.is_dir():
        pairs = [(video, output / _name(video, config)) for video in list_videos(source)]
        if output.exists() and not output.is_dir():
            raise InputError(f"output {output} is a file, but input {source} is a folder")
    elif not config.output or (
        config.codec != "png" and (output.is_dir() or config.output.endswith("/"))
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


def _check_job(config: ConfigDict, source: Path, target: Path, *, index: int) -> EnhanceJob:
    info = probe(source)
    prompt = prompt_for(
        source,
        index=index,
        prompt=config.prompt,
        prompt_file=config.prompt_file or None,
        name_as_prompt=config.name_as_prompt,
    )
    options = options_of(config, prompt)
    left = info.frames - first_frame(info, config.start_time)
    clip = Clip(
        frames=min(left, config.max_frames or left),
        height=info.height,
        width=info.width,
        rate=info.rate,
    )
    job = EnhanceJob(
        source=source,
        target=target,
        info=info,
        options=options,
        clip=clip,
        output=find_system(system_of(config)).output(clip, options),
        start_time=config.start_time,
        max_frames=config.max_frames,
        allow_damaged=config.allow_damaged,
        codec=config.codec,
        quality=config.quality,
    )
    job.frames()
    job.writer()
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
    return source.stem if config.codec == "png" else f"{source.stem}.mp4"
