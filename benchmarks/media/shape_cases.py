"""Cases of interlacing, bars, sizes and still pictures."""

import struct
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.media.cases import Case
from benchmarks.media.inputs import level_frames, make_video, write_picture
from benchmarks.media.time_cases import NO_B_FRAMES, NTSC, SIZE, numbers


def _bar(time: float, width: int = 64) -> np.ndarray:
    frame = np.full((48, width, 3), 20, np.uint8)
    left = 8 + round(4 * time)
    frame[:, left : left + 12] = 200
    return frame


def _woven(
    folder: Path,
    name: str = "in.mp4",
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    order: int | None = None,
) -> Path:
    """Interlaced pictures of a bar that moves."""
    frames = [_bar(index) for index in range(8)]
    for index, frame in enumerate(frames):
        frame[::2] = _bar(index + 0.5)[::2]
    return make_video(folder / name, frames, codec=codec, options=options, field_order=order)


def _combed(expected: bool) -> Callable[[float], bool]:
    def check(comb: float) -> bool:
        return (comb > 3) == expected

    check.__doc__ = "combed" if expected else "not combed"
    return check


def _barred(folder: Path, top: int, side: int) -> Path:
    frames = []
    for index in range(10):
        frame = np.zeros((48, 64, 3), np.uint8)
        x = np.indices((48 - 2 * top, 64 - 2 * side))[1]
        frame[top : 48 - top, side : 64 - side] = (140 + 90 * np.sin(x / 5 + index))[..., None]
        frames.append(frame)
    return make_video(folder / "in.mp4", frames, options={"crf": "18"})


def _shaped(
    folder: Path,
    *,
    rotation: int | None = None,
    aspect: Fraction | None = None,
    size: tuple[int, int] = SIZE,
) -> Path:
    frames = level_frames(6, *size)
    odd = size[0] % 2 or size[1] % 2
    return make_video(
        folder / ("in.mkv" if odd else "in.mp4"), frames, rotation=rotation, pixel_aspect=aspect,
        codec="ffv1" if odd else "libx264", pixel_format="yuv444p" if odd else "yuv420p",
    )  # fmt: skip


def _numbered(folder: Path, present: range | list[int] = range(1, 7)) -> Path:
    pictures = folder / "frames"
    pictures.mkdir()
    for number, image in zip(present, level_frames(len(present)), strict=True):
        write_picture(pictures / f"shot_{number:04d}.png", image, "png", "rgb24")
    return pictures


def _still(folder: Path, name: str, codec: str, pixel_format: str) -> Path:
    return write_picture(folder / name, level_frames(5)[4], codec, pixel_format)


def _photograph(folder: Path) -> Path:
    """A JPEG whose EXIF says that it lies on its side."""
    path = _still(folder, "in.jpg", "mjpeg", "yuvj420p")
    entry = struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + entry
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    return path


H264 = {"crf": "0", "flags": "+ildct+ilme", "x264-params": "bff=1"}
MPEG2 = {"flags": "+ildct+ilme", "b": "4M", "bf": "2"}
STILLS = {
    "in.png": ("png", "rgb24"),
    "in.jpg": ("mjpeg", "yuvj420p"),
    "in.tif": ("tiff", "rgb24"),
    "in.webp": ("libwebp", "bgra"),
    "in.bmp": ("bmp", "bgr24"),
}

CASES = [
    Case(
        "interlaced h264, bottom field first", partial(_woven, options=H264),
        {"frames": 8, "rate": Fraction(24), "comb": _combed(False)},
    ),
    Case(
        "interlaced h264, top field first",
        partial(_woven, options={"crf": "0", "x264-params": "interlaced=1:tff=1"}),
        {"frames": 8, "rate": Fraction(24), "comb": _combed(False)},
    ),
    Case(
        "interlaced h264, top field first, deinterlace=off",
        partial(_woven, options={"crf": "0", "x264-params": "interlaced=1:tff=1"}),
        {"frames": 8, "comb": _combed(True)}, {"deinterlace": "off"},
    ),
    Case(
        "interlaced h265",
        partial(_woven, name="in.mkv", codec="libx265",
                options={"x265-params": "log-level=none:interlace=tff:lossless=1"}),
        {"frames": 8, "rate": Fraction(24), "comb": _combed(False)},
    ),
    Case(
        "interlaced mpeg2", partial(_woven, name="in.ts", codec="mpeg2video", options=MPEG2),
        {"frames": 8, "rate": Fraction(24), "comb": _combed(False)},
    ),
    Case(
        "interlaced by the container's word",
        partial(_woven, name="in.mkv", codec="ffv1", options={}, order=3),
        {"frames": 8, "comb": _combed(False)},
    ),
    Case(
        "interlaced without a mark", partial(_woven, options=NO_B_FRAMES),
        {"frames": 8, "comb": _combed(True)},
    ),
    Case(
        "interlaced without a mark, deinterlace=on",
        partial(_woven, options=NO_B_FRAMES),
        {"frames": 8, "comb": _combed(False)}, {"deinterlace": "on"},
    ),
    Case(
        "interlaced, deinterlace=off",
        partial(_woven, options=H264),
        {"frames": 8, "comb": _combed(True)}, {"deinterlace": "off"},
    ),
    Case("bars above and below, bars=crop", partial(_barred, top=6, side=0),
         {"size": (64, 36), "frames": 10}, {"bars": "crop"}),
    Case("bars on all sides, bars=crop", partial(_barred, top=4, side=8),
         {"size": (48, 40), "frames": 10}, {"bars": "crop"}),
    Case("bars above and below", partial(_barred, top=6, side=0), {"size": SIZE, "frames": 10}),
    Case("rotated by 90 degrees", partial(_shaped, rotation=90), {"size": (48, 64), "frames": 6}),
    Case("pixel aspect 4:3", partial(_shaped, aspect=Fraction(4, 3)),
         {"frames": 6, "size": (85, 48)}),
    Case("rotated, pixel aspect 1:2", partial(_shaped, rotation=-90, aspect=Fraction(1, 2)),
         {"size": (48, 32), "frames": 6}),
    Case("odd size", partial(_shaped, size=(63, 47)), {"frames": 6, "size": (63, 47)}),
    Case(
        "folder of numbered pictures", _numbered,
        {"frames": 6, "rate": Fraction(24), "numbers": numbers(6), "size": SIZE},
    ),
    Case(
        "folder of numbered pictures, picture_fps=29.97", _numbered,
        {"frames": 6, "rate": NTSC, "numbers": numbers(6)}, {"picture_fps": "29.97"},
    ),
    Case(
        "folder with a missing picture", partial(_numbered, present=[1, 2, 3, 5]),
        exit_code=2, message="1 of 5 numbered pictures are missing",
    ),
    Case(
        "folder with a missing picture, allow_damaged", partial(_numbered, present=[1, 2, 3, 5]),
        {"frames": 5, "numbers": (0, 1, 2, 2, 3)}, {"allow_damaged": "True"},
    ),
    *(
        Case(f"still picture {name[2:]}",
             partial(_still, name=name, codec=codec, pixel_format=layout),
             {"frames": 1, "size": SIZE, "numbers": (4,), "seconds": Fraction(1, 24)})
        for name, (codec, layout) in STILLS.items()
    ),
    Case("still picture to a still picture", partial(_still, name="in.png", codec="png",
                                                     pixel_format="rgb24"),
         {"frames": 1, "codec": "png", "size": (128, 96), "numbers": (4,)},
         {"up_scale": "2"}, output="out.png"),
    Case("photograph on its side", _photograph, {"frames": 1, "size": (48, 64), "numbers": (4,)}),
]  # fmt: skip
