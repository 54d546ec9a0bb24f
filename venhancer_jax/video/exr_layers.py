"""Channels of OpenEXR files besides colour and transparency, such as depth.

FFmpeg neither reads nor writes them. Files of one part are read, with rows of pixels, uncompressed
or with lossless RLE or ZIP; others are named as such (openexr.com, "OpenEXR File Layout").
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from venhancer_jax.errors import InputError

# Channels of which FFmpeg makes the picture.
_COLOURS = frozenset({"R", "G", "B", "A", "Y", "RY", "BY"})
_MAGIC = b"v/1\x01"
# Flags of the version: tiles, deep pixels, several parts.
_OTHER_KINDS = {0x200: "tiles", 0x800: "deep pixels", 0x1000: "several parts"}
_NONE, _RLE, _ZIPS, _ZIP = range(4)
_COMPRESSIONS = ("none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab")
_ZIP_ROWS = 16
_TYPES = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A channel of an EXR file.

    Attributes:
      name: name of the channel, such as `Z` or `normals.X`.
      kind: type of its samples: 0 for whole numbers of 32 bits, 1 for half floats, 2 for floats.
    """

    name: str
    kind: int


@dataclass(frozen=True, kw_only=True)
class _File:
    """An EXR file.

    Attributes:
      head: everything before the table of offsets.
      attributes: position and size of the value of each attribute of the header.
      problem: words on what cannot be read here; empty for a file that can.
    """

    data: bytes
    head: bytes
    attributes: dict[str, tuple[int, int]]
    problem: str

    def value(self, name: str) -> bytes:
        place, size = self.attributes[name]
        return self.data[place : place + size]

    @property
    def channels(self) -> list[Layer]:
        """Returns all channels, in the order of their samples."""
        text, found = self.value("channels"), []
        while text[:1] not in (b"", b"\0"):
            name, _, text = text.partition(b"\0")
            found.append(Layer(name=name.decode("utf-8", "replace"), kind=text[0]))
            text = text[16:]
        return found

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Returns first column, first row, and the size of what is stored."""
        left, top, right, bottom = struct.unpack("<4i", self.value("dataWindow"))
        return left, top, right - left + 1, bottom - top + 1


def find_layers(data: bytes) -> tuple[tuple[Layer, ...], str]:
    """Finds the channels of an EXR file besides colour and transparency.

    Args:
      data: file.

    Returns:
      Channels that `read_layers` reads, in the order of their names; and words on those that it
      cannot read, empty without any.
    """
    try:
        file = _parse(data)
        found = tuple(each for each in file.channels if each.name not in _COLOURS)
    except (struct.error, IndexError, KeyError, ValueError):
        return (), ""
    if found and file.problem:
        return (), f"{', '.join(each.name for each in found)} ({file.problem})"
    return found, ""


def read_layers(data: bytes) -> dict[str, np.ndarray]:
    """Reads the channels of an EXR file besides colour and transparency.

    Args:
      data: file, whose layers `find_layers` lists.

    Returns:
      Samples `[H, W]` by name: float32; whole numbers are the bits of float32.

    Raises:
      InputError: the file is damaged or of a kind that is not read here.
    """
    try:
        file = _parse(data)
        if file.problem:
            raise InputError(f"EXR file with {file.problem}")
        left, top, *_ = file.window
        first, upper, right, lower = struct.unpack("<4i", file.value("displayWindow"))
        rows, columns = lower - upper + 1, right - first + 1
        layers = {}
        for name, samples in _planes(file).items():
            if name in _COLOURS:
                continue
            shown = np.zeros((rows, columns), np.float32)
            y, x = max(0, top - upper), max(0, left - first)
            part = samples[max(0, upper - top) :, max(0, first - left) :][: rows - y, : columns - x]
            part = part.view(np.float32) if part.dtype == _TYPES[0] else part.astype(np.float32)
            shown[y : y + part.shape[0], x : x + part.shape[1]] = part
            layers[name] = shown
    except InputError:
        raise
    except (struct.error, IndexError, KeyError, ValueError, zlib.error) as error:
        raise InputError("EXR file that is damaged") from error
    return layers


def add_layers(data: bytes, layers: Mapping[Layer, np.ndarray]) -> bytes:
    """Adds channels to an EXR file, which is compressed with ZIP.

    Args:
      data: file of one part with rows of pixels.
      layers: samples `[H, W]` of each channel, as `read_layers` returns them.
    """
    file = _parse(data)
    kinds = {each.name: each.kind for each in file.channels} | {k.name: k.kind for k in layers}
    planes = _planes(file)
    for layer, samples in layers.items():
        samples = np.ascontiguousarray(samples, np.float32)
        planes[layer.name] = (
            samples.view(_TYPES[0]) if layer.kind == 0 else samples.astype(_TYPES[layer.kind])
        )
    names = sorted(planes, key=str.encode)
    channels = b"".join(
        name.encode() + b"\0" + struct.pack("<iB3xii", kinds[name], 0, 1, 1) for name in names
    )
    head = _replaced(file, {"channels": channels + b"\0", "compression": bytes([_ZIP])})
    height = file.window[3]
    rows = np.concatenate(
        [np.ascontiguousarray(planes[name]).view(np.uint8).reshape(height, -1) for name in names],
        axis=1,
    )
    blocks = []
    for first in range(0, height, _ZIP_ROWS):
        raw = rows[first : first + _ZIP_ROWS].reshape(-1)
        packed = zlib.compress(_scrambled(raw), 4)
        stored = packed if len(packed) < raw.size else raw.tobytes()
        blocks.append(struct.pack("<ii", file.window[1] + first, len(stored)) + stored)
    starts = np.cumsum([len(head) + 8 * len(blocks), *map(len, blocks[:-1])])
    return head + starts.astype("<u8").tobytes() + b"".join(blocks)


def _parse(data: bytes) -> _File:
    if data[:4] != _MAGIC:
        raise InputError("no EXR file")
    (version,) = struct.unpack_from("<i", data, 4)
    position, attributes = 8, {}
    while data[position]:
        end = data.index(0, position)
        name, kind_end = data[position:end].decode(), data.index(0, end + 1)
        (size,) = struct.unpack_from("<i", data, kind_end + 1)
        attributes[name] = (kind_end + 5, size)
        position = kind_end + 5 + size
        if size < 0 or position >= len(data):
            raise InputError("EXR file that is cut short")
    problems = [words for flag, words in _OTHER_KINDS.items() if version & flag]
    compression = data[attributes["compression"][0]]
    if compression > _ZIP:
        known = compression < len(_COMPRESSIONS)
        problems.append(f"{_COMPRESSIONS[compression] if known else 'unknown'} compression")
    file = _File(data=data, head=data[: position + 1], attributes=attributes, problem="")
    text = file.value("channels")
    for each in file.channels:
        place = text.index(each.name.encode() + b"\0") + len(each.name.encode()) + 1
        if struct.unpack_from("<2i", text, place + 8) != (1, 1) or each.kind >= len(_TYPES):
            problems.append(f"subsampled {each.name}")
    return _File(data=data, head=file.head, attributes=attributes, problem=" and ".join(problems))


def _planes(file: _File) -> dict[str, np.ndarray]:
    """Returns the samples `[H, W]` of all channels by name, as they are stored."""
    _, top, width, height = file.window
    types = {each.name: _TYPES[each.kind] for each in file.channels}
    per_row = width * sum(each.itemsize for each in types.values())
    compression = file.value("compression")[0]
    per_block = _ZIP_ROWS if compression == _ZIP else 1
    count = -(-height // per_block)
    rows = np.empty((height, per_row), np.uint8)
    for start in struct.unpack_from(f"<{count}Q", file.data, len(file.head)):
        y, size = struct.unpack_from("<ii", file.data, start)
        stored = file.data[start + 8 : start + 8 + size]
        part = rows[y - top : y - top + per_block]
        if compression == _NONE or size == part.size:
            raw = np.frombuffer(stored, np.uint8)
        else:
            raw = _unscrambled(_runs(stored) if compression == _RLE else zlib.decompress(stored))
        part[:] = raw.reshape(part.shape)
    planes, column = {}, 0
    for name, dtype in types.items():
        size = width * dtype.itemsize
        planes[name] = np.ascontiguousarray(rows[:, column : column + size]).view(dtype)
        column += size
    return planes


def _replaced(file: _File, values: Mapping[str, bytes]) -> bytes:
    """Returns the header with other values of some attributes."""
    head = file.head
    places = sorted(values, key=lambda name: -file.attributes[name][0])
    for name in places:  # the last one first, so that places before stay
        place, size = file.attributes[name]
        value = values[name]
        head = head[: place - 4] + struct.pack("<i", len(value)) + value + head[place + size :]
    return head


def _runs(data: bytes) -> bytes:
    """Expands runs: a count and a byte that repeats, or a negative count and as many bytes."""
    parts, position = [], 0
    while position < len(data):
        (count,) = struct.unpack_from("b", data, position)
        if count < 0:
            parts.append(data[position + 1 : position + 1 - count])
            position += 1 - count
        else:
            parts.append(data[position + 1 : position + 2] * (count + 1))
            position += 2
    return b"".join(parts)


def _unscrambled(data: bytes) -> np.ndarray:
    """Restores bytes from differences of which the even and then the odd ones are stored."""
    steps = np.frombuffer(data, np.uint8).astype(np.int64)
    steps[1:] -= 128
    values = (np.cumsum(steps) & 255).astype(np.uint8)
    restored = np.empty_like(values)
    half = (len(values) + 1) // 2
    restored[0::2], restored[1::2] = values[:half], values[half:]
    return restored


def _scrambled(raw: np.ndarray) -> bytes:
    """Returns what `_unscrambled` restores."""
    values = np.concatenate([raw[0::2], raw[1::2]]).astype(np.int64)
    values[1:] = np.diff(values) + 128
    return (values & 255).astype(np.uint8).tobytes()
