"""Channels of OpenEXR files besides colour and transparency, such as depth.

FFmpeg, which reads and writes the picture, leaves them out.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import OpenEXR

from venhancer_jax.errors import InputError

# Channels of which FFmpeg makes the picture.
_COLOURS = frozenset({"R", "G", "B", "A", "Y", "RY", "BY"})
_DEEP = (OpenEXR.deepscanline, OpenEXR.deeptile)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A channel of an EXR file.

    Attributes:
      name: name of the channel, such as `Z` or `normals.X`.
      dtype: type of its samples: uint32, float16 or float32.
    """

    name: str
    dtype: str


def find_layers(data: bytes) -> tuple[tuple[Layer, ...], str]:
    """Finds the channels of an EXR file besides colour and transparency.

    Args:
      data: file.

    Returns:
      Channels that `read_layers` reads, in the order of their names; and words on those that it
      does not read, empty without any.
    """
    try:
        file = _open(data)
    except InputError:
        return (), ""
    if problem := _problem(file):
        names = [name for part in file.parts for name in part.channels if name not in _COLOURS]
        return (), f"{', '.join(names)} ({problem})" if names else ""
    found = {name: each.pixels.dtype.name for name, each in _others(file).items()}
    return tuple(Layer(name=name, dtype=dtype) for name, dtype in found.items()), ""


def read_layers(data: bytes) -> dict[str, np.ndarray]:
    """Reads the channels of an EXR file besides colour and transparency.

    Args:
      data: file.

    Returns:
      Samples `[H, W]` by name, of the layers that `find_layers` lists: float32; whole numbers are
      the bits of float32.

    Raises:
      InputError: the file is damaged.
    """
    file = _open(data)
    if _problem(file):
        return {}
    (left, top), _ = file.header()["dataWindow"]
    (first, upper), (right, lower) = file.header()["displayWindow"]
    layers = {}
    for name, channel in _others(file).items():
        pixels = channel.pixels
        samples = (
            pixels.view(np.float32) if pixels.dtype == np.uint32 else pixels.astype(np.float32)
        )
        shown = np.zeros((lower - upper + 1, right - first + 1), np.float32)
        y, x = max(0, top - upper), max(0, left - first)
        part = samples[max(0, upper - top) :, max(0, first - left) :]
        part = part[: max(0, len(shown) - y), : max(0, shown.shape[1] - x)]
        shown[y : y + part.shape[0], x : x + part.shape[1]] = part
        layers[name] = shown
    return layers


def add_layers(data: bytes, layers: Mapping[Layer, np.ndarray]) -> bytes:
    """Adds channels to an EXR file, which is compressed with ZIP.

    Args:
      data: file of one part.
      layers: samples `[H, W]` of each channel, as `read_layers` returns them.
    """
    file = _open(data)
    channels = {name: channel.pixels for name, channel in file.channels().items()}
    for layer, samples in layers.items():
        samples = np.ascontiguousarray(samples, np.float32)
        is_whole = layer.dtype == "uint32"
        channels[layer.name] = samples.view(np.uint32) if is_whole else samples.astype(layer.dtype)
    header = {k: v for k, v in file.header().items() if k != "channels"}
    written = io.BytesIO()
    OpenEXR.File(header | {"compression": OpenEXR.ZIP_COMPRESSION}, channels).write(written)
    return written.getvalue()


def _open(data: bytes) -> OpenEXR.File:
    try:
        file = OpenEXR.File(io.BytesIO(data), separate_channels=True)
    except (RuntimeError, ValueError) as error:
        raise InputError("EXR file that is damaged") from error
    if not file.parts:  # parts whose pixels are damaged are missing
        raise InputError("EXR file that is damaged")
    return file


def _problem(file: OpenEXR.File) -> str:
    """Returns why the layers of a file are not read; empty for one whose layers are."""
    if len(file.parts) > 1:
        return "several parts"
    if file.header()["type"] in _DEEP:
        return "deep pixels"
    sampled = {(each.xSampling, each.ySampling) for each in _others(file).values()}
    return "subsampled" if sampled - {(1, 1)} else ""


def _others(file: OpenEXR.File) -> dict[str, OpenEXR.Channel]:
    return {name: each for name, each in file.channels().items() if name not in _COLOURS}
