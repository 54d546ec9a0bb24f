"""Files in, files out: enhances a video, or a folder of them, as a config says."""

import time
from pathlib import Path

from ml_collections import ConfigDict
from tqdm import tqdm

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.plan import plan_time
from venhancer_jax.pipelines.venhancer import VEnhancer
from venhancer_jax.video import (
    VideoInfo,
    VideoWriter,
    list_videos,
    probe,
    prompt_for,
    read_frames,
)

RESULTS = Path("results")


def find_work(config: ConfigDict) -> list[tuple[Path, Path]]:
    """Input and output of every video that a config asks for.

    Raises:
      InputError: no such video or folder, or a folder without videos.
    """
    source = Path(config.input)
    if source.is_dir():
        folder = Path(config.output) if config.output else RESULTS
        if folder.exists() and not folder.is_dir():
            raise InputError(f"output {folder} is a file, but input {source} is a folder")
        return [(video, folder / _name(video, config)) for video in list_videos(source)]
    target = Path(config.output) if config.output else RESULTS / _name(source, config)
    if config.codec != "png" and (target.is_dir() or config.output.endswith("/")):
        target = target / _name(source, config)
    return [(source, target)]


def check(config: ConfigDict) -> list[tuple[Path, Path]]:
    """Everything that can be told to be wrong before weights are loaded.

    Returns:
      What `find_work` gives.

    Raises:
      InputError: a wrong value, or wrong input where there is only one.
    """
    options_of(config, config.prompt)
    work = find_work(config)
    if len(work) == 1:
        info = probe(work[0][0])
        _writer(work[0][1], config, info, (16, 16), info.rate, None)
    return work


def run(config: ConfigDict, system: VEnhancer, work: list[tuple[Path, Path]]) -> list[str]:
    """Enhances one video after the other.

    Args:
      config: of the run.
      system: networks with weights.
      work: input and output of each video.

    Returns:
      Messages of the videos that could not be enhanced; empty if all were.

    Raises:
      InputError: wrong input, where there is only one video.
    """
    problems = []
    for i, (source, target) in enumerate(work):
        try:
            enhance_file(config, system, source, target, index=i)
        except InputError as error:
            if len(work) == 1:
                raise
            problems.append(f"{source}: {error}")
            print(f"skipped {source}: {error}", flush=True)
    return problems


def enhance_file(
    config: ConfigDict, system: VEnhancer, source: Path, target: Path, *, index: int = 0
) -> None:
    """Enhances one video; the result appears whole or not at all, with the original sound.

    Args:
      config: of the run.
      system: networks with weights.
      source: video.
      target: video or, for `codec="png"`, folder to write.
      index: of the video, for its line in the prompt file.

    Raises:
      InputError: the video cannot be read or the result not be written.
    """
    started = time.perf_counter()
    info = probe(source)
    prompt = prompt_for(
        source,
        index=index,
        prompt=config.prompt,
        prompt_file=config.prompt_file or None,
        name_as_prompt=config.name_as_prompt,
    )
    options = options_of(config, prompt)
    space = system.plan_space(info.height, info.width, options)
    frames = _frames_to_read(info, config)
    plan = plan_time(frames, info.rate, options)
    height, width = space.size
    print(
        f"{source} -> {target}: {info.width}x{info.height} to {width}x{height},"
        f" {float(info.rate):g} to {float(plan.rate):g} frames a second,"
        f" {frames} to {len(plan.take)} frames, prompt {prompt!r}",
        flush=True,
    )
    seconds = None if info.audio_codec is None else float(len(plan.take) / plan.rate)
    with Bars(frames) as bars, _writer(target, config, info, space.size, plan.rate, seconds) as out:
        source_frames = read_frames(
            info, start_time=config.start_time, max_frames=config.max_frames
        )
        for frame in system.enhance(
            source_frames, rate=info.rate, options=options, progress=bars.update
        ):
            out.write(frame)
    print(f"wrote {target} in {time.perf_counter() - started:.1f} s", flush=True)


class Bars:
    """A progress bar with the time left for each stage."""

    def __init__(self, frames: int):
        self._frames = frames
        self._bar: tqdm | None = None

    def __enter__(self) -> "Bars":
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


def _frames_to_read(info: VideoInfo, config: ConfigDict) -> int:
    """Frames of the input that will be read, as far as its header can tell."""
    there = info.frames if info.frames is not None else int(info.duration * info.rate)
    left = max(1, there - int(config.start_time * info.rate))
    return left if config.max_frames is None else min(left, config.max_frames)


def _writer(
    target: Path,
    config: ConfigDict,
    info: VideoInfo,
    size: tuple[int, int],
    rate,
    audio_seconds: float | None,
) -> VideoWriter:
    return VideoWriter(
        target,
        width=size[1],
        height=size[0],
        rate=rate,
        codec=config.codec,
        quality=config.quality,
        audio_from=None if audio_seconds is None else info.path,
        audio_start=config.start_time,
        audio_duration=audio_seconds,
    )


def _name(source: Path, config: ConfigDict) -> str:
    return source.stem if config.codec == "png" else f"{source.stem}.mp4"


