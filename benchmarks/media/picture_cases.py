"""Cases of depth, chroma, colour tags, light, transparency and codecs."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from benchmarks.media.cases import Case
from benchmarks.media.dynamic_light import (
    DOLBY_VISION,
    SUPPLEMENT,
    dolby_vision,
    hdr10_plus,
    with_units,
)
from benchmarks.media.inputs import with_chroma_location, write_picture
from venhancer_jax.video.exr_layers import Layer, add_layers

_MATRICES = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.BT2020}
_SIZE = (96, 64)
_DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
_LIGHT = {"x265-params": f"log-level=none:lossless=1:master-display={_DISPLAY}:max-cll=900,250"}
_LOSSLESS = {
    "libx264": {"qp": "0", "preset": "ultrafast"},
    "libx265": {"x265-params": "log-level=none:lossless=1", "preset": "ultrafast"},
}
_UNKNOWN = (2, 2, 2)
_SDR, _NTSC, _PAL = (1, 1, 1), (6, 6, 6), (5, 5, 6)
_PQ, _HLG = (9, 9, 16), (9, 9, 18)


def _waves(count: int, size: tuple[int, int], fineness: int = 1) -> list[np.ndarray]:
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


def _write(
    folder: Path,
    name: str,
    codec: str,
    layout: str,
    *,
    tags: Sequence[int] = _UNKNOWN,
    full: bool = False,
    size: tuple[int, int] = _SIZE,
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
        for index, image in enumerate(_waves(count, size, fineness)):
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


def _kept(
    name: str,
    make: Callable[[Path], Path],
    layout: str,
    *,
    psnr: float = 39,
    output: str = "out.mkv",
    **more: Any,
) -> Case:
    """A clip that comes out in its layout, and looks as it did."""
    expected = {"frames": 5, "size": _SIZE, "pixel_format": layout} | more.pop("expected", {})
    return Case(name, make, expected, output=output, psnr=psnr, **more)


def _tagged(tags: tuple[int, int, int], full: bool, codec: str, output: str) -> Case:
    name = f"tags {'/'.join(map(str, tags))} {'full' if full else 'limited'} to {codec}"
    layout = "yuvj420p" if full and codec != "av1" else "yuv420p"
    make = partial(_write, name="in.mkv", codec="libx264", layout="yuv420p", tags=tags, full=full)
    expected = {"tags": (*tags, 2 if full else 1)}
    return _kept(name, make, layout, output=output, settings={"codec": codec}, expected=expected)


def _sited(location: str, codec: str, output: str, stored: str, layout: str = "yuv420p") -> Case:
    """Fine colours, which a shift by half a pixel changes by ten decibels."""
    make = partial(
        _write, name="in.mkv", codec="libx264", layout=layout, chroma=location, fineness=4
    )
    return _kept(
        f"chroma at {location}, {layout} to {codec}", make, layout, output=output, psnr=37,
        settings={"codec": codec, "quality": "1"}, expected={"chroma": stored},
    )  # fmt: skip


def _deep(layout: str, codec: str, output: str, stored: str = "", **more: Any) -> Case:
    source = "libx265" if "12" in layout or "gbrp" in layout else "libx264"
    make = partial(
        _write,
        name="in.mkv",
        codec=source,
        layout=layout,
        tags=_SDR if "yuv" in layout else _UNKNOWN,
    )
    settings = {"codec": codec} | more.pop("settings", {})
    name = f"{layout} to {codec}" + (f" as {stored}" if stored else "")
    return _kept(name, make, stored or layout, output=output, settings=settings, **more)


def _bright(tags: tuple[int, int, int], codec: str, output: str, light: Any, **more: Any) -> Case:
    make = partial(
        _write, name="in.mkv", codec="libx265", layout="yuv420p10le", tags=tags, options=_LIGHT
    )
    curve = "PQ" if tags == _PQ else "HLG"
    stored = {"prores": "yuv422p10le"}.get(codec, "yuv420p10le")
    return _kept(
        f"{curve} to {codec}",
        make,
        stored,
        output=output,
        settings={"codec": codec},
        expected={"tags": (*tags, 1), "light": light},
        **more,
    )


def _with_dynamic_light(folder: Path, kind: int, payload: bytes) -> Path:
    options = {"x265-params": _LIGHT["x265-params"] + ":bframes=0"}
    plain = _write(folder, "plain.mkv", "libx265", "yuv420p10le", tags=_PQ, options=options)
    target = with_units(plain, folder / "in.mkv", kind=kind, payload=payload)
    plain.unlink()
    return target


def _dynamic(name: str, kind: int, payload: bytes, said: str) -> Case:
    make = partial(_with_dynamic_light, kind=kind, payload=payload)
    expected = {"tags": (*_PQ, 1), "light": _LIGHT_KEPT}
    settings = {"codec": "h265"}
    return _kept(name, make, "yuv420p10le", settings=settings, expected=expected, message=said)


def _transparent(source: str, layout: str, name: str, codec: str, output: str, **more: Any) -> Case:
    return Case(
        f"transparent {layout} to {codec}",
        partial(_write, name=name, codec=source, layout=layout),
        {"frames": 5, "size": _SIZE} | more.pop("expected", {}),
        {"codec": codec},
        output=output,
        **more,
    )


def _deep_picture(path: Path, far: float, pixel_format: str) -> Path:
    """A grey EXR picture with depths from 1 to `far`."""
    write_picture(path, np.full((*_SIZE[::-1], 3), 99, np.uint8), "exr", pixel_format)
    depth = np.linspace(1, far, _SIZE[0], dtype=np.float32)[None].repeat(_SIZE[1], 0)
    path.write_bytes(add_layers(path.read_bytes(), {Layer(name="Z", dtype="float32"): depth}))
    return path


def _deep_pictures(folder: Path) -> Path:
    pictures = folder / "frames"
    pictures.mkdir()
    for number in range(5):
        _deep_picture(pictures / f"shot_{number:04d}.exr", 100 + number, "gbrapf32le")
    return pictures


_LIGHT_KEPT = (1000.0, 900)
_ALPHA = float(np.mean(_waves(1, _SIZE)[0][..., 3]) / 65535)

CASES = [
    _kept(
        "identity of bt709",
        partial(_write, name="in.mkv", codec="libx264", layout="yuv420p", tags=_SDR),
        "yuv420p",
        expected={"tags": (*_SDR, 1)},
        output="out.mp4",
    ),
    *(
        _tagged(tags, full, codec, output)
        for codec, output in (("h264", "out.mp4"), ("h265", "out.mp4"), ("av1", "out.webm"))
        for tags, full in ((_SDR, False), (_SDR, True), (_NTSC, False), (_PAL, False))
    ),
    _kept(
        "untagged SD",
        partial(_write, name="in.mkv", codec="libx264", layout="yuv420p"),
        "yuv420p",
        expected={"tags": (*_SDR, 1)},
    ),
    Case(
        "untagged HD",
        partial(_write, name="in.mkv", codec="libx264", layout="yuv420p", size=(96, 720)),
        {"size": (96, 720), "tags": (*_SDR, 1)},
        psnr=39,
    ),
    _sited("left", "h264", "out.mp4", "left"),
    _sited("center", "h264", "out.mp4", "center"),
    _sited("topleft", "h265", "out.mkv", "topleft", "yuv420p10le"),
    _sited("topleft", "av1", "out.mp4", "topleft"),
    _sited("center", "av1", "out.mp4", "left"),
    _sited("bottom", "ffv1", "out.mkv", "unspecified"),
    _sited("topleft", "ffv1", "out.mkv", "unspecified", "yuv422p"),
    _deep("yuv420p10le", "h264", "out.mp4"),
    _deep("yuv422p10le", "h265", "out.mp4"),
    _deep("yuv444p10le", "h264", "out.mkv"),
    _deep("yuv420p10le", "av1", "out.mp4"),
    _deep("yuv420p12le", "h265", "out.mkv"),
    _deep("yuv444p12le", "ffv1", "out.mkv", psnr=60),
    _deep("yuv422p10le", "prores", "out.mov"),
    _deep("gbrp", "h265", "out.mkv"),
    _deep("gbrp10le", "h265", "out.mkv"),
    _deep("gbrp", "h264", "out.mkv", "yuv444p"),
    _deep("yuv444p", "h264", "out.mp4"),
    _deep("yuv422p", "h264", "out.mp4"),
    _deep(
        "yuv444p10le", "h264", "out.mp4", "yuv420p", psnr=34, settings={"pixel_format": "yuv420p"}
    ),
    _bright(_PQ, "h265", "out.mp4", _LIGHT_KEPT),
    _bright(_PQ, "h264", "out.mkv", _LIGHT_KEPT),
    _bright(_PQ, "av1", "out.webm", _LIGHT_KEPT),
    _bright(_HLG, "h265", "out.mkv", _LIGHT_KEPT),
    _bright(_PQ, "prores", "out.mov", None, message="mastering display"),
    _bright(_HLG, "ffv1", "out.mkv", None, message="mastering display", psnr=60),
    _dynamic("HDR10+ becomes HDR10", SUPPLEMENT, hdr10_plus(), "HDR10+ metadata, which no"),
    _dynamic("Dolby Vision 8 becomes HDR10", DOLBY_VISION, dolby_vision(8),
             "Dolby Vision metadata, which no"),
    Case(
        "Dolby Vision 5 is refused",
        partial(_with_dynamic_light, kind=DOLBY_VISION, payload=dolby_vision(5)),
        exit_code=2,
        message="Dolby Vision of profile 5",
    ),
    Case(
        "HDR10+ to ordinary brightness",
        partial(_with_dynamic_light, kind=SUPPLEMENT, payload=hdr10_plus()),
        {"frames": 5, "tags": (*_SDR, 1), "light": None},
        {"hdr": "sdr", "pixel_format": "yuv420p"},
        message="ordinary brightness",
    ),
    Case(
        "PQ to 8 bits is refused",
        partial(_write, name="in.mkv", codec="libx265", layout="yuv420p10le", tags=_PQ),
        settings={"pixel_format": "yuv420p"},
        exit_code=2,
        message="hdr=sdr",
    ),
    Case(
        "PQ to ordinary brightness",
        partial(_write, name="in.mkv", codec="libx265", layout="yuv420p10le", tags=_PQ),
        {"frames": 5, "tags": (*_SDR, 1), "light": None},
        {"hdr": "sdr", "pixel_format": "yuv420p"},
        message="ordinary brightness",
    ),
    _transparent("prores_ks", "yuva444p10le", "in.mov", "ffv1", "out.mkv",
                 expected={"alpha": _ALPHA}, tolerance=0.01),
    _transparent("prores_ks", "yuva444p10le", "in.mov", "prores", "out.mov",
                 expected={"alpha": _ALPHA}, tolerance=0.01),
    _transparent("png", "rgba", "in.mov", "ffv1", "out.mkv",
                 expected={"alpha": _ALPHA, "pixel_format": "bgra"}, tolerance=0.01),
    _transparent("libvpx-vp9", "yuva420p", "in.webm", "ffv1", "out.mkv",
                 expected={"alpha": _ALPHA}, tolerance=0.02),
    _transparent("qtrle", "argb", "in.mov", "h264", "out.mp4",
                 expected={"alpha": None}, message="laid over black"),
    Case(
        "depth and transparency of numbered exr to exr",
        _deep_pictures,
        {"frames": 5, "size": _SIZE, "depth": (1.0, 100.0), "alpha": 1.0},
        {"codec": "exr"},
        output="out",
    ),
    Case(
        "depth of an exr picture to exr",
        lambda folder: _deep_picture(folder / "in.exr", 50.0, "gbrpf32le"),
        {"frames": 1, "size": (192, 128), "depth": (1.0, 50.0)},
        {"up_scale": "2"},
        output="out.exr",
    ),
    Case(
        "depth of numbered exr to h264, left out",
        _deep_pictures,
        {"frames": 5, "size": _SIZE, "depth": None},
        message="layers Z (exr keeps them)",
    ),
    Case(
        "an option that the encoder lacks",
        partial(_write, name="in.mkv", codec="libx264", layout="yuv420p"),
        settings={"codec_options": "speedy=1"},
        exit_code=2,
        message="no option 'speedy'",
    ),
]  # fmt: skip
