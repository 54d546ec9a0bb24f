"""Clips of coloured waves whose samples follow their tags, and cases that keep them."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from benchmarks.media.cases import Case
from benchmarks.media.inputs import with_chroma_location

_MATRICES = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.BT2020}
SIZE = (96, 64)
_LOSSLESS = {
    "libx264": {"qp": "0", "preset": "ultrafast"},
    "libx265": {"x265-params": "log-level=none:lossless=1", "preset": "ultrafast"},
}
UNKNOWN = (2, 2, 2)
SDR, NTSC, PAL = (1, 1, 1), (6, 6, 6), (5, 5, 6)
PQ, HLG = (9, 9, 16), (9, 9, 18)


def waves(count: int, size: tuple[int, int], fineness: int = 1) -> list[np.ndarray]:
    """Returns saturated colours that move slowly, uint16 RGBA `[H, W, 4]`."""
    width, height = size
    y, x = np.indices((height, width))
    phases = (0, 2, 4, 1)
    return [
        np.rint(
            32768
            + 24000
            * np.stack(
                [
                    np.sin(fineness * (x + 2 * i) / 15 + p) * np.cos(fineness * y / 13 - p / 2)
                    for p in phases
                ],
                axis=-1,
            )
        ).astype(np.uint16)
        for i in range(count)
    ]


def write_waves(
    folder: Path,
    name: str,
    codec: str,
    layout: str,
    *,
    tags: Sequence[int] = UNKNOWN,
    full: bool = False,
    size: tuple[int, int] = SIZE,
    count: int = 5,
    options: dict[str, str] | None = None,
    chroma: str = "left",
    fineness: int = 1,
) -> Path:
    """Encodes a clip whose samples follow its tags, or what players guess without."""
    matrix, primaries, transfer = tags
    rgb = av.VideoFormat(layout).is_rgb
    levels = ColorRange.JPEG if full or rgb else ColorRange.MPEG
    guess = 1 if size[1] >= 720 else 6
    space = _MATRICES[guess if matrix in (0, 2) else matrix]
    with av.open(str(folder / name), "w") as container:
        stream: Any = container.add_stream(
            codec,
            rate=Fraction(24),
            options={"chroma_sample_location": chroma} | _LOSSLESS.get(codec, {}) | (options or {}),
        )
        stream.width, stream.height = size
        stream.pix_fmt = layout
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = tags
        if full:
            context.color_range = ColorRange.JPEG
        for index, image in enumerate(waves(count, size, fineness)):
            frame = av.VideoFrame.from_ndarray(image, format="rgba64le")
            frame = with_chroma_location(frame, chroma).reformat(
                format=layout,
                src_colorspace=space,
                dst_colorspace=space,
                src_color_range=ColorRange.JPEG,
                dst_color_range=levels,
            )
            frame.colorspace, frame.color_range = matrix, levels if full else frame.color_range
            frame.color_primaries, frame.color_trc = primaries, transfer
            frame.pts, frame.time_base = index, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder / name


def kept(
    name: str,
    make: Callable[[Path], Path],
    layout: str,
    *,
    psnr: float = 39,
    output: str = "out.mkv",
    **more: Any,
) -> Case:
    """A clip that comes out in its layout, and looks as it did."""
    expected = {"frames": 5, "size": SIZE, "pixel_format": layout} | more.pop("expected", {})
    return Case(name, make, expected, output=output, psnr=psnr, **more)
