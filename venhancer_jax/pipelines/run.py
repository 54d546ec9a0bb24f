"""Files in, files out: enhances a video, or a folder of them, as a config says."""

import dataclasses
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import check_keys, options_of
from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.pipelines.venhancer.load import compute_dtype
from venhancer_jax.pipelines.venhancer.plan import TimePlan, plan_space, plan_time
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.sharding.processes import is_main_process, log_on_main
from venhancer_jax.video import (
    VideoInfo,
    VideoWriter,
    list_videos,
    probe,
    prompt_for,
    read_frames,
)

RESULTS = Path("results")
_ALL_SOUND = 1e9  # seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnhanceJob:
    """One video to enhance, checked.

    Attributes:
      source: video.
      target: video or, for `codec="png"`, folder to write.
      info: facts on the source.
      options: of the enhancement.
      frames: of the source that are enhanced.
      time: output frames and their rate.
      audio_seconds: of sound to keep.
    """

    source: Path
    target: Path
    info: VideoInfo
    options: EnhanceOptions
    frames: int
    time: TimePlan
    audio_seconds: float


def check(config: ConfigDict) -> tuple[list[EnhanceJob], list[str]]:
    """Everything that can be told to be wrong before weights are loaded.

    Returns:
      What to enhance, and messages of the videos of a folder that cannot be.

    Raises:
      InputError: a wrong value, or nothing that can be enhanced.
    """
    check_keys(config)
    compute_dtype(config.dtype)
    options_of(config, config.prompt)
    try:
        work = list_jobs(config)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error
    jobs, problems = [], []
    for i, (source, target) in enumerate(work):
        try:
            jobs.append(_job(config, source, target, index=i))
        except InputError as error:
            if len(work) == 1:
                raise
            problems.append(_skipped(source, error))
    if not jobs:
        raise InputError(
            f"none of the {len(work)} videos can be enhanced; the first: {problems[0]}"
        )
    return jobs, problems


def list_jobs(config: ConfigDict) -> list[tuple[Path, Path]]:
    """Input and output of every video that a config asks for.

    Raises:
      InputError: no such folder, a folder without videos, or results that would replace each other
        or an input.
    """
    if not config.input:
        raise InputError("no input: give --config.input=VIDEO, or a folder of videos")
    source = Path(config.input)
    output = Path(config.output) if config.output else RESULTS
    if source.is_dir():
        work = [(video, output / _name(video, config)) for video in list_videos(source)]
        if output.exists() and not output.is_dir():
            raise InputError(f"output {output} is a file, but input {source} is a folder")
    elif not config.output or (
        config.codec != "png" and (output.is_dir() or config.output.endswith("/"))
    ):
        work = [(source, output / _name(source, config))]
    else:
        work = [(source, output)]
    writers: dict[Path, Path] = {}
    for video, target in work:
        if target.exists() and any(target.samefile(other) for other, _ in work if other.exists()):
            raise InputError(f"{target}: this output is also an input. Choose another output")
        if (first := writers.setdefault(target, video)) != video:
            raise InputError(f"{first} and {video} would both become {target}: rename one")
    return work


def run(config: ConfigDict, system: VEnhancer, jobs: list[EnhanceJob]) -> list[str]:
    """Enhances one video after the other.

    Args:
      config: of the run.
      system: networks with weights.
      jobs: what `check` gives.

    Returns:
      Messages of the videos that could not be enhanced; empty if all were.
    """
    problems = []
    for job in jobs:
        try:
            enhance_file(config, system, job)
        except InputError as error:
            problems.append(_skipped(job.source, error))
    return problems


def enhance_file(config: ConfigDict, system: VEnhancer, job: EnhanceJob) -> None:
    """Enhances one video; the result appears whole or not at all, with the original sound.

    With several processes all of them have to call this; the first one writes.

    Args:
      config: of the run.
      system: networks with weights.
      job: of `check`.

    Raises:
      InputError: the video cannot be read or the result not be written.
    """
    started = time.perf_counter()
    info, plan = job.info, job.time
    space = system.plan_space(info.height, info.width, job.options)
    height, width = space.size
    log_on_main(
        f"{job.source} -> {job.target}: {info.width}x{info.height} to {width}x{height},"
        f" {float(info.rate):g} to {float(plan.rate):g} frames a second,"
        f" {job.frames} to {len(plan.take)} frames, prompt {job.options.prompt!r}"
    )
    given = {"rate": info.rate, "options": job.options}
    if not is_main_process():
        for _ in system.enhance(_frames(config, info), **given):
            pass  # takes its part in the work
        return
    with ProgressBars(job.frames) as bars, _writer(config, job, space.size) as out:
        for frame in system.enhance(_frames(config, info), progress=bars.update, **given):
            out.write(frame)
    log_on_main(f"wrote {job.target} in {time.perf_counter() - started:.1f} s")


class ProgressBars:
    """A progress bar with the time left for each stage."""

    def __init__(self, frames: int):
        self._frames = frames
        self._bar: tqdm | None = None

    def __enter__(self) -> "ProgressBars":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, stage: str, done: int, total: int | None) -> None:
        """`done` of `total` in a stage; an unknown total is the number of input frames."""
        if self._bar is None or self._bar.desc.strip(": ") != stage:
            if self._bar is not None:
                self._bar.close()
            unit = "step" if stage == "denoise" else "frame"
            self._bar = tqdm(total=total or self._frames, desc=stage, unit=unit)
        self._bar.update(done - self._bar.n)


def _job(config: ConfigDict, source: Path, target: Path, *, index: int) -> EnhanceJob:
    """Checks one video, the number `index` of all."""
    info = probe(source)
    prompt = prompt_for(
        source,
        index=index,
        prompt=config.prompt,
        prompt_file=config.prompt_file or None,
        name_as_prompt=config.name_as_prompt,
    )
    options = options_of(config, prompt)
    _frames(config, info)
    # As `read_frames` counts.
    first = min(math.floor(config.start_time * info.rate + 1e-6), info.frames - 1)
    left = info.frames - first
    frames = min(left, config.max_frames or left)
    plan = plan_time(frames, info.rate, options)
    # What is too small is so for all networks.
    space = plan_space(info.height, info.width, options, rows=(0, 1), columns=1)
    whole = frames == left
    job = EnhanceJob(
        source=source,
        target=target,
        info=info,
        options=options,
        frames=frames,
        time=plan,
        audio_seconds=_ALL_SOUND if whole else float(len(plan.take) / plan.rate),
    )
    _writer(config, job, space.size)
    _check_writable(target)
    return job


def _frames(config: ConfigDict, info: VideoInfo) -> Iterator[np.ndarray]:
    return read_frames(info, start_time=config.start_time, max_frames=config.max_frames)


def _writer(config: ConfigDict, job: EnhanceJob, size: tuple[int, int]) -> VideoWriter:
    return VideoWriter(
        job.target,
        width=size[1],
        height=size[0],
        rate=job.time.rate,
        codec=config.codec,
        quality=config.quality,
        audio_from=job.source if job.info.audio_codec else None,
        audio_start=config.start_time,
        audio_duration=job.audio_seconds,
    )


def _check_writable(target: Path) -> None:
    """Tries the folder of `target` or, as it may be made later, the nearest one there is."""
    try:
        folder = next(folder for folder in target.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({error.strerror}). Choose another output"
        ) from error


def _skipped(source: Path, error: InputError) -> str:
    """Tells that a video is left out; returns why."""
    log_on_main(f"skipped {source}")
    message = str(error)
    return message if message.startswith(str(source)) else f"{source}: {message}"


def _name(source: Path, config: ConfigDict) -> str:
    return source.stem if config.codec == "png" else f"{source.stem}.mp4"
