"""Small clips for `benchmarks.media_matrix`, encoded with PyAV alone."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext

LEVEL_STEP = 20
SOUND_RATE = 48000
LOSSLESS = {"crf": "0", "bf": "2", "preset": "ultrafast"}


def level_frames(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Returns grey uint8 frames `[H, W, 3]` whose level is the number of the frame, modulo 12."""
    return [
        np.full((height, width, 3), LEVEL_STEP * (index % 12 + 1), np.uint8)
        for index in range(count)
    ]


def number_of(level: float) -> int:
    """Returns the number, modulo 12, of a frame of `level_frames` from its mean level."""
    return round(level / LEVEL_STEP) - 1


def flash_frames(count: int, at: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Returns black frames, and bright ones from frame `at` on."""
    dark, bright = (np.full((height, width, 3), level, np.uint8) for level in (20, 230))
    return [dark] * at + [bright] * (count - at)


def beep(seconds: float, begins: float) -> np.ndarray:
    """Returns silence and then a tone of 1 kHz, float32 `[1, N]`.

    Args:
      seconds: length of both.
      begins: time of the tone.
    """
    time = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    samples = np.where(time < begins, 0, 0.5 * np.sin(2000 * np.pi * time))
    return samples[None].astype(np.float32)


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    rate: Fraction = Fraction(24),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    stamps: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    sounds: Sequence[np.ndarray] = (),
    sound_codec: str = "aac",
    sound_first: bool = False,
    prepare: Callable[[Any], None] = lambda stream: None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encodes a clip.

    Args:
      path: file to write; its suffix says the container.
      frames: uint8 RGB `[H, W, 3]`.
      rate: frames per second, also where `stamps` say the times.
      codec: encoder of the pictures.
      pixel_format: stored samples.
      options: options of the encoder; by default x264 is lossless.
      stamps: presentation time of each frame in ticks; by default evenly spaced.
      time_base: seconds per tick.
      sounds: mono samples `[1, N]` of each sound track, from time 0.
      sound_codec: encoder of the sound.
      sound_first: whether the sound tracks come before the pictures.
      prepare: function that changes the picture stream before it is opened.
      container_options: options of the container.
    """
    if options is None:
        options = LOSSLESS if codec == "libx264" else {}
    with av.open(str(path), "w", options=container_options or {}) as container:

        def add_sounds() -> list[Any]:
            streams: list[Any] = [
                container.add_stream(sound_codec, rate=SOUND_RATE) for _ in sounds
            ]
            for sound in streams:
                sound.codec_context.layout = "mono"
            return streams

        tracks = add_sounds() if sound_first else []
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        if time_base is not None:
            stream.codec_context.time_base = time_base
        prepare(stream)
        tracks = tracks or add_sounds()
        container.start_encoding()
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
                format=pixel_format, dst_colorspace="ITU601"
            )
            picture.pts = index if stamps is None else stamps[index]
            picture.time_base = time_base or 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        for track, samples in zip(tracks, sounds, strict=True):
            sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            sound.sample_rate, sound.pts = SOUND_RATE, 0
            sound.time_base = Fraction(1, SOUND_RATE)
            container.mux(track.encode(sound) + track.encode(None))
    return path


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
