"""Small clips to enhance, encoded with PyAV alone."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

CODECS = {".mp4": "libx264", ".mkv": "ffv1", ".avi": "mpeg4"}


def moving_square(frames: int, *, scenes: int = 1) -> list[np.ndarray]:
    """Draws a square that moves over waves, uint8 `[48, 64, 3]`; each scene has its own colours."""
    rows, columns = np.mgrid[:48, :64]
    drawn = []
    for index in range(frames):
        scene = index * scenes // frames
        waves = np.stack([np.sin((rows + columns * k) / 9 + 2 * scene * k) for k in (1, 2, 3)], -1)
        frame = (90 + 60 * waves + 60 * (scene % 2)).astype(np.uint8)
        frame[10:26, (2 * index) % 48 : (2 * index) % 48 + 16] = 230 - 160 * (scene % 2)
        drawn.append(frame)
    return drawn


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    rate: Fraction = Fraction(10),
    milliseconds: Sequence[int] | None = None,
    sound: bool = False,
) -> Path:
    """Encodes a clip.

    Args:
      path: video, with a suffix of `CODECS`.
      frames: pictures, uint8 `[H, W, 3]`.
      rate: frames per second.
      milliseconds: times at which the frames are shown; None for a constant rate.
      sound: whether a tone goes along.
    """
    base = Fraction(1, 1000) if milliseconds else 1 / rate
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if milliseconds:
            stream.codec_context.time_base = base
        tone = container.add_stream("aac", rate=48000) if sound else None
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = milliseconds[index] if milliseconds else index
            picture.time_base = base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if tone is not None:
            time = np.arange(int(48000 * len(frames) / rate)) / 48000
            wave = (0.3 * np.sin(2 * np.pi * 330 * time)).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(np.repeat(wave, 2, 0), format="fltp")
            samples.sample_rate, samples.pts, samples.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
    return path
