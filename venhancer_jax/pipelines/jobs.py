"""Jobs of a config, each checked before weights are loaded."""

import dataclasses
import tempfile
from pathlib import Path

from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.captions import find_captioner
from venhancer_jax.pipelines.config import check_values, options_of, system_of
from venhancer_jax.pipelines.job import EnhanceJob
from venhancer_jax.pipelines.options import FileOptions, parse_fps
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.pipelines.system import Clip
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
)
from venhancer_jax.video.colour.output_format import caution, losses
from venhancer_jax.video.scenes.cut_list import cut_source
from venhancer_jax.video.writing.codec_options import split_codec_options
from venhancer_jax.video.writing.encoders import check_options, default_suffix
from venhancer_jax.video.writing.image_folder import IMAGES
from venhancer_jax.video.writing.write import check_target

RESULTS = Path("results")


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
    files = from_config(FileOptions, config)
    info, first, frames = find_part(source, files)
    prompt = prompt_for(
        source,
        index=index,
        prompt=config.prompt,
        prompt_file=config.prompt_file or None,
        name_as_prompt=config.name_as_prompt,
    )
    options = options_of(config, prompt)
    clip = Clip(
        frames=frames,
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
    if files.captioner and not options.prompt:
        find_captioner(files.captioner)
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


def find_part(source: Path, files: FileOptions) -> tuple[VideoInfo, int, int]:
    """Finds the part of a video that is enhanced.

    Args:
      source: video to read.
      files: settings of reading.

    Returns:
      Facts about the video, index of the first stored picture of the part, and number of its
      pictures.

    Raises:
      InputError: the video cannot be read, or ends before the part.
    """
    rate = parse_fps(files.picture_fps, "picture_fps")
    info = probe(source, deinterlace=files.deinterlace, picture_rate=rate)
    if files.bars == "crop":
        info = crop_bars(info)
    if files.start_time >= info.times.duration:
        raise InputError(
            f"start_time={files.start_time}: {source} lasts {float(info.times.duration):.3f} s;"
            " give a time before its end"
        )
    first = first_frame(info, files.start_time, as_stored=True)
    left = len(info.times) - first
    return info, first, min(left, files.max_frames or left)


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
