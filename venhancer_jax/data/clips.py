"""Cutting of one video into clips of one scene each."""

import dataclasses
import json
import shutil
from fractions import Fraction
from pathlib import Path

from av.error import FFmpegError

from venhancer_jax.data.scenes import split
from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_write
from venhancer_jax.video import VideoInfo, VideoWriter, probe, read_frames
from venhancer_jax.video.scenes.cuts import find_cuts

# H.264 with a constant rate factor of 12: no difference to see.
_QUALITY = 1.0
_DONE = "clips.json"
# Bytes are only kept where every reader agrees on pictures and times.
_KEPT_SUFFIXES = {".mp4", ".mov", ".mkv", ".m4v", ".webm"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipRules:
    """Rules for clips of a dataset.

    Attributes:
      min_height: smallest number of rows of a video.
      min_frames: smallest number of frames of a clip.
      max_frames: largest number of frames of a clip; longer scenes are divided.
      min_fps: smallest number of frames per second of a video.
    """

    min_height: int = 256
    min_frames: int = 16
    max_frames: int = 600
    min_fps: float = 15.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class StagedClip:
    """A clip that is cut and not in a dataset yet.

    Attributes:
      name: unique name: that of the video and the number of the clip.
      file: name of the file in the folder of the video's clips.
      start: index of the clip's first frame in the video.
      frames: number of frames.
      height: rows of the frames.
      width: columns of the frames.
      rate: frames per second, as `numerator/denominator`.
      kept: whether the file has the bytes of the whole video, not encoded again.
      size: size in bytes.
    """

    name: str
    file: str
    start: int
    frames: int
    height: int
    width: int
    rate: str
    kept: bool
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class StagedVideo:
    """The clips of a video.

    Attributes:
      clips: usable clips.
      problem: reason why there is none, or empty.
    """

    clips: tuple[StagedClip, ...]
    problem: str


def stage(video: Path, name: str, folder: Path, rules: ClipRules) -> StagedVideo:
    """Cuts a video into clips, unless an earlier run has done so.

    A problem with the video is part of the result: one bad file must not stop the others.

    Args:
      video: video file.
      name: name of the video in the dataset.
      folder: folder for the clips of this video alone; unfinished clips in it are removed.
      rules: rules for clips.
    """
    done = folder / _DONE
    if done.is_file():
        return _load(done)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        staged = _cut(video, name, folder, rules)
    except (InputError, FFmpegError, ValueError) as error:
        staged = StagedVideo(clips=(), problem=str(error))
    atomic_write(done, json.dumps(dataclasses.asdict(staged), indent=1))
    return staged


def _cut(video: Path, name: str, folder: Path, rules: ClipRules) -> StagedVideo:
    info = probe(video)
    _check(info, rules)
    cuts, count = find_cuts(read_frames(info))
    spans = split(cuts, count, least=rules.min_frames, most=rules.max_frames)
    if not spans:
        raise InputError(
            f"no scene of at least min_frames={rules.min_frames}: {count} frames, {len(cuts)} cuts"
        )
    if spans == [(0, count)] and _is_plain(info):
        file = f"0000{video.suffix.lower()}"
        shutil.copyfile(video, folder / file)
        return StagedVideo(
            clips=(_staged(info, name, 0, folder / file, (0, count), True),), problem=""
        )
    clips = []
    frames = enumerate(read_frames(info))
    for number, (start, end) in enumerate(spans):
        path = folder / f"{number:04d}.mp4"
        with VideoWriter(
            path, width=info.width, height=info.height, rate=info.rate, quality=_QUALITY
        ) as out:
            for i, frame in frames:
                if i >= start:
                    out.write(frame)
                if i == end - 1:
                    break
        clips.append(_staged(info, name, number, path, (start, end), False))
    return StagedVideo(clips=tuple(clips), problem="")


def _check(info: VideoInfo, rules: ClipRules) -> None:
    if info.height < rules.min_height:
        raise InputError(f"{info.height} rows, less than min_height={rules.min_height}")
    if info.rate < rules.min_fps:
        raise InputError(
            f"{float(info.rate):g} frames a second, less than min_fps={rules.min_fps:g}"
        )
    if info.frames < rules.min_frames:
        raise InputError(f"{info.frames} frames, less than min_frames={rules.min_frames}")


def _is_plain(info: VideoInfo) -> bool:
    upright = info.rotation == 0 and info.pixel_aspect == 1 and not info.variable_rate
    return upright and info.path.suffix.lower() in _KEPT_SUFFIXES


def _staged(
    info: VideoInfo, name: str, number: int, path: Path, span: tuple[int, int], kept: bool
) -> StagedClip:
    rate = Fraction(info.rate)
    return StagedClip(
        name=f"{name}#{number:04d}",
        file=path.name,
        start=span[0],
        frames=span[1] - span[0],
        height=info.height,
        width=info.width,
        rate=f"{rate.numerator}/{rate.denominator}",
        kept=kept,
        size=path.stat().st_size,
    )


def _load(done: Path) -> StagedVideo:
    stored = json.loads(done.read_text(encoding="utf-8"))
    clips = tuple(StagedClip(**clip) for clip in stored["clips"])
    return StagedVideo(clips=clips, problem=stored["problem"])
