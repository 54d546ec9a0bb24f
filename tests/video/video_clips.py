"""Encoding of tiny clips with PyAV alone."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

LEVEL_STEP = 10


def level_frames(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Grey uint8 frames `[H, W, 3]` whose level names their number: 10, 20, 30 and so on."""
    return [np.full((height, width, 3), LEVEL_STEP * (i + 1), np.uint8) for i in range(count)]


def number_of(frame: np.ndarray) -> int:
    """The number of a frame of `level_frames`."""
    return round(float(frame.mean()) / LEVEL_STEP) - 1


def tone(seconds: float, rate: int = 48000, silent_before: float = 0.0) -> np.ndarray:
    """A 440 Hz tone as float32 samples `[1, N]`, after silence."""
    time = np.arange(round(seconds * rate)) / rate
    return np.where(time < silent_before, 0, 0.5 * np.sin(2 * np.pi * 440 * time))[None].astype(
        "f4"
    )


def make_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    rate: Fraction = Fraction(24),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    stamps: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int | None = None,
    flip: bool = False,
    pixel_aspect: Fraction | None = None,
    matrix: Colorspace = Colorspace.ITU601,
    tag: int | None = None,
    full_range: bool = False,
    field_order: int | None = None,
    source_format: str = "rgb24",
    sounds: Sequence[np.ndarray] = (),
    sound_codec: str = "aac",
    sound_start: float = 0.0,
) -> Path:
    """Encodes `frames` (and mono 48 kHz `sounds`) with PyAV alone."""
    lossless = {"crf": "0", "bf": "2"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=rate, options=lossless if options is None else options
        )
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames[0].shape[:2] if frames else (48, 64)
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        if time_base is not None:
            context.time_base = time_base
        if pixel_aspect is not None:
            context.sample_aspect_ratio = pixel_aspect
        if full_range:
            context.color_range = ColorRange.JPEG
        if field_order is not None:
            context.field_order = field_order
        if tag is not None:
            context.colorspace = tag
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=flip)
        sound_streams = [_add_mono(container, sound_codec) for _ in sounds]
        container.start_encoding()
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format=source_format).reformat(
                format=pixel_format,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.JPEG
                if full_range or "rgb" in pixel_format
                else ColorRange.MPEG,
                dst_colorspace=matrix,
            )
            picture.pts = index if stamps is None else stamps[index]
            picture.time_base = time_base or 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        for sound_stream, samples in zip(sound_streams, sounds, strict=True):
            sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 48000, round(48000 * sound_start)
            sound.time_base = Fraction(1, 48000)
            container.mux(sound_stream.encode(sound))
            container.mux(sound_stream.encode(None))
    return path


def _add_mono(container: OutputContainer, codec: str) -> AudioStream:
    stream = container.add_stream(codec, rate=48000)
    assert isinstance(stream, AudioStream)
    stream.codec_context.layout = "mono"
    return stream
