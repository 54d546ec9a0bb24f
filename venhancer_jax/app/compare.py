"""What the page shows of a result: frames beside those of the input, and a video for a browser."""

import itertools
import shutil
from pathlib import Path

import cv2
import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_file
from venhancer_jax.pipelines.job import EnhanceJob
from venhancer_jax.pipelines.preview import Preview
from venhancer_jax.video import VideoInfo, VideoWriter, probe, read_frames
from venhancer_jax.video.resize import resize_area, resize_bicubic
from venhancer_jax.video.writing.image_folder import IMAGES

# A larger picture is shown smaller in the player.
_PLAYER_HEIGHT = 1080


def result_info(job: EnhanceJob) -> VideoInfo:
    """Reads the facts of a finished result.

    Raises:
      InputError: the result is gone or cannot be read.
    """
    return probe(job.target, picture_rate=job.output.rate)


def write_pair(job: EnhanceJob, result: VideoInfo, index: int, folder: Path) -> tuple[str, str]:
    """Writes a frame of a result and that of the input at its time, enlarged, as PNG.

    Args:
      job: checked video.
      result: facts of its result.
      index: index of the frame of the result.
      folder: folder to write in, which is created.

    Returns:
      Paths of the enlarged frame of the input and of the frame of the result, of equal size.

    Raises:
      InputError: one of them cannot be read.
    """
    after = _frame(result, index)
    at = job.info.times.seconds(job.first) + result.times.seconds(index)
    before = _frame(job.info, job.info.times.shown_at(at))
    enlarged = resize_bicubic(before[None].astype(np.float32), after.shape[:2])[0]
    pair = np.rint(enlarged.clip(0, 255)).astype(np.uint8), after
    return _write_pngs(pair, folder, f"frame-{index}")


def split_still(preview: Preview, folder: Path) -> tuple[str, str]:
    """Writes both halves of the still of a preview as PNG; returns their paths.

    Raises:
      InputError: the still is gone.
    """
    still = cv2.imread(str(preview.still))
    if still is None:
        raise InputError(f"{preview.still.name} is gone")
    still = still[..., ::-1]
    width = still.shape[1] // 2
    return _write_pngs((still[:, :width], still[:, width:]), folder, "still")


def player_video(video: Path, folder: Path) -> Path:
    """Returns a video that every browser plays: 8-bit 4:2:0 H.264 in MP4.

    Args:
      video: video, folder of numbered pictures, or picture.
      folder: folder to write a copy in, where the video is none that browsers play.

    Raises:
      InputError: the video cannot be read.
    """
    info = probe(video)
    plain = (info.codec, info.pixel_format) == ("h264", "yuv420p")
    if plain and video.suffix == ".mp4" and info.height <= _PLAYER_HEIGHT:
        return video
    copy = folder / "player.mp4"
    if not copy.exists():
        scale = min(1.0, _PLAYER_HEIGHT / info.height)
        # 4:2:0 has pairs of rows and columns.
        height, width = (max(2, round(n * scale / 2) * 2) for n in (info.height, info.width))
        sound = None if info.pictures or not info.audio_codec else video
        with VideoWriter(
            copy, width=width, height=height, rate=info.rate, audio_from=sound
        ) as writer:
            for frame in read_frames(info):
                small = resize_area(frame.astype(np.float32), (height, width))
                writer.write(np.rint(small).astype(np.uint8))
    return copy


def download(job: EnhanceJob, folder: Path) -> Path:
    """Returns the file to download: the result, or a ZIP archive of a folder of images.

    Args:
      job: checked video, whose result is finished.
      folder: folder to write an archive in.
    """
    if job.files.codec not in IMAGES or job.is_still:
        return job.target
    archive = folder / f"{job.target.name}.zip"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(archive) as partial:
            # `make_archive` adds the suffix.
            made = shutil.make_archive(str(partial), "zip", job.target)
            Path(made).replace(partial)
    return archive


def _frame(info: VideoInfo, index: int) -> np.ndarray:
    """Reads one stored picture, uint8 RGB `[H, W, 3]`."""
    at = info.times.seconds(index)
    frames = read_frames(info, start_time=at, max_frames=1, as_stored=True, allow_damaged=True)
    return next(itertools.islice(frames, 1))


def _write_pngs(
    pictures: tuple[np.ndarray, np.ndarray], folder: Path, name: str
) -> tuple[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    before, after = (folder / f"{name}-{side}.png" for side in ("before", "after"))
    for path, picture in zip((before, after), pictures, strict=True):
        if not path.exists():
            with atomic_file(path) as partial:
                partial.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    return str(before), str(after)
