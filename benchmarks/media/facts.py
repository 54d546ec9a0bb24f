"""Facts of an output, probed with PyAV, not with the code that wrote it; but for EXR's layers."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.logging
import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.filter import Graph
from av.video.reformatter import ColorRange

from benchmarks.media.inputs import number_of, with_chroma_location
from venhancer_jax.video.exr_layers import read_layers

# Levels of 255, and samples of 1, from which a flash or a beep has begun.
_FLASH, _BEEP = 120, 0.1
# Weights of red and blue in luma, by the number of the matrix (H.273).
_WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of a video file.

    Attributes:
      codec: name of the picture codec.
      pixel_format: name of the stored samples.
      size: shown columns and rows, after rotation and with square pixels.
      frames: number of decoded pictures.
      times: time of each picture after the first one, in seconds.
      start: time of the first picture, in seconds.
      seconds: time from the first picture to the end of the last one.
      rate: exact frames per second where pictures are evenly spaced, else None.
      numbers: number of each picture of `level_frames`, modulo 24.
      streams: kinds of all streams, in order, such as `video:h264`.
      tags: colour matrix, primaries, transfer curve and range (H.273 numbers).
      chroma: position of the chroma samples, in FFmpeg's words; `unspecified` without a tag.
      light: brightest luminance of the mastering display and MaxCLL, in candela per square metre;
        None where neither is stored.
      alpha: mean opacity of the first picture, from 0 to 1; None for one without.
      depth: least and largest sample of the channel Z of the first EXR picture; None without it.
      sync: seconds by which the first beep is later than the first flash; None without both.
      comb: mean difference of lines from both neighbours, in levels of 255.
      decode_times_rise: whether decode times rise strictly in file order.
      metadata: tags of the container.
      chapters: start and end of each chapter, in seconds.
      psnr: decibels by which pictures are like those of the input; None where not compared.
    """

    codec: str
    pixel_format: str
    size: tuple[int, int]
    frames: int
    times: tuple[Fraction, ...]
    start: Fraction
    seconds: Fraction
    rate: Fraction | None
    numbers: tuple[int, ...]
    streams: tuple[str, ...]
    tags: tuple[int, int, int, int]
    chroma: str
    light: tuple[float, int] | None
    alpha: float | None
    depth: tuple[float, float] | None
    sync: float | None
    comb: float
    decode_times_rise: bool
    metadata: dict[str, str]
    chapters: tuple[tuple[float, float], ...]
    psnr: float | None = None


def probe_output(path: Path) -> Facts:
    """Decodes a video and returns its facts.

    Args:
      path: video file, or folder of EXR pictures.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        unit = stream.time_base
        assert unit is not None
        packets = [packet for packet in container.demux(stream) if packet.size]
        stamps = sorted(packet.pts for packet in packets if packet.pts is not None)
        lengths = {packet.pts: packet.duration or 0 for packet in packets}
        decode = [packet.dts for packet in packets if packet.dts is not None]
        streams = tuple(
            f"{each.type}:{each.codec_context.name if each.codec_context else '?'}"
            for each in container.streams
        )
        metadata = dict(container.metadata)
        chapters = tuple(
            (float(each["start"] * base), float(each["end"] * base))
            for each in container.chapters()
            if (base := each["time_base"])
        )
    with _opened(path) as container:
        stream = container.streams.video[0]
        levels, combs, first = [], [], None
        for frame in container.decode(stream):
            first = first or frame
            picture = frame.to_ndarray(format="rgb24").astype(np.float32)
            levels.append(float(picture.mean()))
            combs.append(np.abs(2 * picture[1:-1] - picture[:-2] - picture[2:]).mean())
        assert first is not None
        aspect = stream.sample_aspect_ratio or Fraction(1)
        width, height = round(first.width * aspect), first.height
        lies = first.rotation % 180 != 0
        steps = {b - a for a, b in pairwise(stamps)}
        average, length = stream.average_rate, stream.duration
    if length is None:  # Matroska stores that of each picture
        length = stamps[-1] - stamps[0] + (lengths[stamps[-1]] or max(steps, default=0))
    times = tuple((stamp - stamps[0]) * unit for stamp in stamps)
    jitter = max(steps, default=0) - min(steps, default=0)
    return Facts(
        codec=stream.codec_context.codec.canonical_name,
        pixel_format=first.format.name,
        size=(height, width) if lies else (width, height),
        frames=len(levels),
        times=times,
        start=stamps[0] * unit,
        seconds=length * unit,
        rate=average if jitter <= 1 else None,
        numbers=tuple(number_of(level) for level in levels),
        streams=streams,
        tags=(
            int(first.colorspace),
            int(first.color_primaries),
            int(first.color_trc),
            int(first.color_range),
        ),
        chroma=_chroma_location(first),
        light=_light(first),
        alpha=_alpha(first),
        depth=_depth(path),
        sync=_sync(path, [stamp * unit for stamp in stamps], levels),
        comb=float(np.mean(combs)),
        decode_times_rise=all(a < b for a, b in pairwise(decode)),
        metadata=metadata,
        chapters=chapters,
    )


def _opened(path: Path) -> InputContainer:
    if path.is_dir():
        return av.open(str(path / "%06d.exr"), format="image2", options={"framerate": "24"})
    return av.open(str(path))


def _depth(path: Path) -> tuple[float, float] | None:
    first = path / "000001.exr" if path.is_dir() else path
    if first.suffix != ".exr" or (depth := read_layers(first.read_bytes()).get("Z")) is None:
        return None
    return float(depth.min()), float(depth.max())


def psnr(source: Path, output: Path) -> float:
    """Computes how alike the colours of two videos of one size are, in decibels.

    Args:
      source: video file.
      output: video file with as many pictures.
    """
    pairs = zip(_colours(source), _colours(output), strict=True)
    errors = [np.mean(np.square(a - b)) for a, b in pairs]
    return float(-10 * np.log10(max(np.mean(errors), 1e-12)))


def _colours(path: Path) -> Iterator[np.ndarray]:
    """Yields RGB pictures, floats from 0 to 1, by the matrix and range that a file has."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.format.is_rgb:
                white = 65535 if max(c.bits for c in frame.format.components) > 8 else 255
                layout = "rgb48le" if white > 255 else "rgb24"
                yield frame.to_ndarray(format=layout) / white
                continue
            full = frame.color_range == ColorRange.JPEG
            if _chroma_location(frame) == "unspecified":
                frame = with_chroma_location(frame, "center" if full else "left")
            same = frame.color_range if full else ColorRange.MPEG
            samples = frame.reformat(
                format="yuv444p16le", src_color_range=same, dst_color_range=same
            ).to_ndarray()
            black, span, chroma = (0, 65535, 65535) if full else (4096, 56064, 57344)
            luma = (samples[..., 0] - float(black)) / span
            blue, red = ((samples[..., i] - 32768.0) / chroma for i in (1, 2))
            guess = 1 if frame.height >= 720 else 6
            kr, kb = _WEIGHTS.get(int(frame.colorspace), _WEIGHTS[guess])
            r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
            yield np.stack([r, (luma - kr * r - kb * b) / (1 - kr - kb), b], -1).clip(0, 1)


def _chroma_location(frame: VideoFrame) -> str:
    """Returns what FFmpeg logs on a frame; PyAV does not show this tag."""
    graph = Graph()
    width, height, unit = frame.width, frame.height, Fraction(1, 1000)
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format=frame.format, time_base=unit),
        graph.add("showinfo"),
        graph.add("buffersink"),
    ).configure()
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    with av.logging.Capture(local=True) as lines:
        graph.vpush(frame)
        graph.vpull()
    av.logging.set_level(level)
    text = " ".join(line for _, _, line in lines)
    return text.partition(" cl:")[2].split()[0]


def _light(frame: VideoFrame) -> tuple[float, int] | None:
    display = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    level = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    if display is None or level is None:
        return None
    numbers = struct.unpack("22i", bytes(display)[:88])
    return numbers[18] / numbers[19], struct.unpack("I", bytes(level)[:4])[0]


def _alpha(frame: VideoFrame) -> float | None:
    if not any(part.is_alpha for part in frame.format.components):
        return None
    return float(frame.to_ndarray(format="rgba")[..., 3].mean() / 255)


def _sync(path: Path, times: list[Fraction], levels: list[float]) -> float | None:
    flash = next((time for time, level in zip(times, levels, strict=True) if level > _FLASH), None)
    with _opened(path) as container:
        if flash is None or not container.streams.audio:
            return None
        for frame in container.decode(container.streams.audio[0]):
            samples = frame.to_ndarray()
            full = np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else 1  # type: ignore
            loud = np.flatnonzero(np.abs(samples / full).max(0) > _BEEP)
            if loud.size and frame.pts is not None and frame.time_base is not None:
                sample = int(loud[0]) // (1 if frame.format.is_planar else frame.layout.nb_channels)
                begin = frame.pts * frame.time_base + Fraction(sample, frame.sample_rate)
                return float(begin - flash)
    return math.inf
