"""Small clips for `benchmarks.media_matrix` and the tests, encoded with PyAV alone."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace

LEVEL_STEP = 10
SOUND_RATE = 48000
LOSSLESS = {"crf": "0", "bf": "2"}
# Levels of `level_frames` before they begin again.
LEVELS = 24


def level_frames(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Returns grey uint8 frames `[H, W, 3]` of 24 levels, whose level says which one a frame is."""
    return [
        np.full((height, width, 3), LEVEL_STEP * (index % LEVELS + 1), np.uint8)
        for index in range(count)
    ]


def number_of(frame: np.ndarray | float) -> int:
    """Returns the number, modulo 24, of a frame of `level_frames`.

    Args:
      frame: picture of any shape, or its mean level.
    """
    return round(float(np.mean(frame)) / LEVEL_STEP) - 1


def flash_frames(count: int, at: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Returns black frames, and bright ones from frame `at` on."""
    dark, bright = (np.full((height, width, 3), level, np.uint8) for level in (20, 230))
    return [dark] * at + [bright] * (count - at)


def tone(seconds: float, *, silent_before: float = 0.0) -> np.ndarray:
    """Returns a tone of 440 Hz, float32 `[1, N]`, after silence.

    Args:
      seconds: length of both.
      silent_before: time at which the tone begins.
    """
    time = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    samples = np.where(time < silent_before, 0, 0.5 * np.sin(880 * np.pi * time))
    return samples[None].astype(np.float32)


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
    sound_first: bool = False,
    timecode: str | None = None,
) -> Path:
    """Encodes a clip.

    Args:
      path: file to write; its suffix says the container.
      frames: uint8 RGB `[H, W, 3]`, or arrays of `source_format`.
      rate: frames per second, also where `stamps` say the times.
      codec: encoder of the pictures.
      pixel_format: stored samples.
      options: options of the encoder; by default x264 is lossless.
      stamps: presentation time of each frame in ticks; by default evenly spaced.
      time_base: seconds per tick.
      rotation: counter-clockwise degrees by which players rotate the pictures.
      flip: whether players mirror them too.
      pixel_aspect: width over height of a pixel.
      matrix: YUV matrix of the samples.
      tag: YUV matrix that the file claims, a number of ITU-T H.273.
      full_range: whether YUV samples have the full range.
      field_order: order of half pictures that the container claims, FFmpeg's AVFieldOrder.
      source_format: pixel format of `frames`.
      sounds: mono samples `[1, N]` of each sound track.
      sound_codec: encoder of the sound.
      sound_start: time of the first sample.
      sound_first: whether the sound tracks come before the pictures.
      timecode: timecode of the first picture, such as `01:00:00:00`.
    """
    if options is None:
        options = LOSSLESS if codec == "libx264" else {}
    levels = ColorRange.JPEG if full_range or "rgb" in pixel_format else ColorRange.MPEG
    with av.open(str(path), "w") as container:
        tracks = [_add_mono(container, sound_codec) for _ in sounds] if sound_first else []
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames[0].shape[:2] if len(frames) else (48, 64)
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
        if timecode is not None:
            stream.metadata["timecode"] = timecode
        tracks = tracks or [_add_mono(container, sound_codec) for _ in sounds]
        container.start_encoding()
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format=source_format).reformat(
                format=pixel_format,
                src_color_range=ColorRange.JPEG,
                dst_color_range=levels,
                dst_colorspace=matrix,
            )
            picture.pts = index if stamps is None else stamps[index]
            picture.time_base = time_base or 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        for track, samples in zip(tracks, sounds, strict=True):
            sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = SOUND_RATE, round(SOUND_RATE * sound_start)
            sound.time_base = Fraction(1, SOUND_RATE)
            container.mux(track.encode(sound) + track.encode(None))
    return path


def _add_mono(container: OutputContainer, codec: str) -> Any:
    stream: Any = container.add_stream(codec, rate=SOUND_RATE)
    stream.codec_context.layout = "mono"
    return stream


def copy_video(
    source: Path,
    target: Path,
    move: Callable[[Fraction], Fraction] = lambda seconds: seconds,
    *,
    last_length: int = 1,
) -> Path:
    """Copies the compressed pictures of a clip.

    Args:
      source: clip without sound.
      target: file to write.
      move: new time of a picture in seconds, for its time.
      last_length: factor of the length of the last picture.
    """
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        for packet in packets:
            assert packet.pts is not None and packet.dts is not None
            unit = packet.time_base
            packet.pts = round(move(packet.pts * unit) / unit)
            packet.dts = round(move(packet.dts * unit) / unit)
            if packet is packets[-1] and packet.duration:
                packet.duration *= last_length
            packet.stream = stream
            new.mux(packet)
    return target


def with_chroma_location(frame: av.VideoFrame, location: str) -> av.VideoFrame:
    """Returns a frame whose conversions put chroma samples at a location of FFmpeg's names."""
    graph = Graph()
    width, height, unit = frame.width, frame.height, Fraction(1, 1000)
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format=frame.format, time_base=unit),
        graph.add("setparams", f"chroma_location={location}"),
        graph.add("buffersink"),
    ).configure()
    graph.vpush(frame)
    return graph.vpull()


def write_picture(path: Path, image: np.ndarray, codec: str, pixel_format: str) -> Path:
    """Encodes a still picture.

    Args:
      path: file to write.
      image: uint8 RGB `[H, W, 3]`.
      codec: encoder.
      pixel_format: stored samples.
    """
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = pixel_format, Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
    packets = encoder.encode(frame) + encoder.encode(None)
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path


def patch(path: Path, old: bytes, new: bytes) -> Path:
    """Replaces the first occurrence of some bytes of a file by as many others."""
    data = path.read_bytes()
    place = data.index(old)
    assert len(old) == len(new)
    path.write_bytes(data[:place] + new + data[place + len(old) :])
    return path


def cut(path: Path, share: float) -> Path:
    """Cuts a file to a share of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])
    return path
