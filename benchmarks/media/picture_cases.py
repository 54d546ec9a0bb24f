"""Cases of depth, chroma, colour tags, transparency, layers and codecs."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.media.cases import Case
from benchmarks.media.inputs import write_picture
from benchmarks.media.waves import NTSC, PAL, SDR, SIZE, UNKNOWN, kept, waves, write_waves
from venhancer_jax.video.exr_layers import Layer, add_layers


def _tagged(tags: tuple[int, int, int], full: bool, codec: str, output: str) -> Case:
    name = f"tags {'/'.join(map(str, tags))} {'full' if full else 'limited'} to {codec}"
    layout = "yuvj420p" if full and codec != "av1" else "yuv420p"
    make = partial(
        write_waves, name="in.mkv", codec="libx264", layout="yuv420p", tags=tags, full=full
    )
    expected = {"tags": (*tags, 2 if full else 1)}
    return kept(name, make, layout, output=output, settings={"codec": codec}, expected=expected)


def _sited(location: str, codec: str, output: str, stored: str, layout: str = "yuv420p") -> Case:
    """Fine colours, which a shift by half a pixel changes by ten decibels."""
    make = partial(
        write_waves, name="in.mkv", codec="libx264", layout=layout, chroma=location, fineness=4
    )
    return kept(
        f"chroma at {location}, {layout} to {codec}", make, layout, output=output, psnr=37,
        settings={"codec": codec, "quality": "1"}, expected={"chroma": stored},
    )  # fmt: skip


def _deep(layout: str, codec: str, output: str, stored: str = "", **more: Any) -> Case:
    source = "libx265" if "12" in layout or "gbrp" in layout else "libx264"
    make = partial(
        write_waves,
        name="in.mkv",
        codec=source,
        layout=layout,
        tags=SDR if "yuv" in layout else UNKNOWN,
    )
    settings = {"codec": codec} | more.pop("settings", {})
    name = f"{layout} to {codec}" + (f" as {stored}" if stored else "")
    return kept(name, make, stored or layout, output=output, settings=settings, **more)


def _transparent(source: str, layout: str, name: str, codec: str, output: str, **more: Any) -> Case:
    return Case(
        f"transparent {layout} to {codec}",
        partial(write_waves, name=name, codec=source, layout=layout),
        {"frames": 5, "size": SIZE} | more.pop("expected", {}),
        {"codec": codec},
        output=output,
        **more,
    )


def _deep_picture(path: Path, far: float, pixel_format: str) -> Path:
    """A grey EXR picture with depths from 1 to `far`."""
    write_picture(path, np.full((*SIZE[::-1], 3), 99, np.uint8), "exr", pixel_format)
    depth = np.linspace(1, far, SIZE[0], dtype=np.float32)[None].repeat(SIZE[1], 0)
    path.write_bytes(add_layers(path.read_bytes(), {Layer(name="Z", dtype="float32"): depth}))
    return path


def _deep_pictures(folder: Path) -> Path:
    pictures = folder / "frames"
    pictures.mkdir()
    for number in range(5):
        _deep_picture(pictures / f"shot_{number:04d}.exr", 100 + number, "gbrapf32le")
    return pictures


_ALPHA = float(np.mean(waves(1, SIZE)[0][..., 3]) / 65535)

CASES = [
    kept(
        "identity of bt709",
        partial(write_waves, name="in.mkv", codec="libx264", layout="yuv420p", tags=SDR),
        "yuv420p",
        expected={"tags": (*SDR, 1)},
        output="out.mp4",
    ),
    *(
        _tagged(tags, full, codec, output)
        for codec, output in (("h264", "out.mp4"), ("h265", "out.mp4"), ("av1", "out.webm"))
        for tags, full in ((SDR, False), (SDR, True), (NTSC, False), (PAL, False))
    ),
    kept(
        "untagged SD",
        partial(write_waves, name="in.mkv", codec="libx264", layout="yuv420p"),
        "yuv420p",
        expected={"tags": (*SDR, 1)},
    ),
    Case(
        "untagged HD",
        partial(write_waves, name="in.mkv", codec="libx264", layout="yuv420p", size=(96, 720)),
        {"size": (96, 720), "tags": (*SDR, 1)},
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
        {"frames": 5, "size": SIZE, "depth": (1.0, 100.0), "alpha": 1.0},
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
        {"frames": 5, "size": SIZE, "depth": None},
        message="layers Z (exr keeps them)",
    ),
    Case(
        "an option that the encoder lacks",
        partial(write_waves, name="in.mkv", codec="libx264", layout="yuv420p"),
        settings={"codec_options": "speedy=1"},
        exit_code=2,
        message="no option 'speedy'",
    ),
]  # fmt: skip
