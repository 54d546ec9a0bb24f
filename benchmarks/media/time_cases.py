"""Cases of times, interlacing, bars, sizes and still pictures."""

import struct
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.media.cases import Case
from benchmarks.media.inputs import (
    beep,
    copy_video,
    cut,
    flash_frames,
    level_frames,
    patch,
    write_picture,
    write_video,
)

NTSC = Fraction(30000, 1001)
MS = Fraction(1, 1000)
UNEVEN = [0, 40, 80, 120, 900, 1250, 1300, 1750]
UNEVEN_TIMES = tuple(Fraction(stamp, 1000) for stamp in UNEVEN)
NO_B_FRAMES = {"crf": "0", "bf": "0", "preset": "ultrafast"}
SIZE = (64, 48)


def _numbers(frames: int) -> tuple[int, ...]:
    return tuple(index % 12 for index in range(frames))


def _levels(folder: Path, name: str, count: int, **options: Any) -> Path:
    return write_video(folder / name, level_frames(count), **options)


def _constant(name: str, rate: Fraction, frames: int = 20, **options: Any) -> Case:
    """A clip of a constant rate, whose frames all come out at that exact rate."""
    suffix = Path(name).suffix
    return Case(
        name,
        partial(_levels, name=f"in{suffix}", count=frames, rate=rate, **options),
        {"frames": frames, "rate": rate, "seconds": frames / rate, "size": SIZE,
         "numbers": _numbers(frames)},
    )  # fmt: skip


def _uneven(folder: Path, name: str = "in.mkv", first: int = 0) -> Path:
    stamps = [first + stamp for stamp in UNEVEN]
    return _levels(folder, name, 8, stamps=stamps, time_base=MS, options=NO_B_FRAMES)


def _moved(folder: Path, name: str, seconds: Fraction, **options: Any) -> Path:
    whole = write_video(folder / "whole.nut", level_frames(6), options=NO_B_FRAMES)
    return copy_video(whole, folder / name, lambda time: time + seconds, **options)


def _synced(
    folder: Path, name: str, rate: Fraction, begin: Fraction = Fraction(0), **options: Any
) -> Path:
    """A clip whose flash is at 0.4 s of the pictures, with a beep at the time of the flash."""
    at = round(rate * Fraction(2, 5))
    stamps = [round((begin + index / rate) * 90000) for index in range(30)]
    return write_video(
        folder / name,
        flash_frames(30, at),
        rate=rate,
        stamps=stamps,
        time_base=Fraction(1, 90000),
        sounds=[beep(float(begin + 30 / rate), float(begin + at / rate))],
        options=NO_B_FRAMES,
        **options,
    )


def _wrong_rate(folder: Path) -> Path:
    path = write_video(folder / "in.mkv", level_frames(24))
    duration = (10**9 // 24).to_bytes(4, "big")
    old = bytes.fromhex("23e38384")  # DefaultDuration
    data = path.read_bytes()
    place = data.index(old) + 4
    assert abs(int.from_bytes(data[place : place + 4], "big") - int.from_bytes(duration, "big")) < 2
    return patch(path, data[place - 4 : place + 4], old + (20_000_000).to_bytes(4, "big"))


def _wrong_count(folder: Path) -> Path:
    """An AVI whose header lists 20 slots for 14."""
    stamps = [0, 3, 4, 9, 13]
    path = write_video(
        folder / "in.avi", level_frames(5), rate=Fraction(15), codec="ffv1", stamps=stamps
    )
    data = bytearray(path.read_bytes())
    length = data.index(b"strh") + 8 + 32
    data[length : length + 4] = (20).to_bytes(4, "little")
    path.write_bytes(data)
    return path


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

    def prepare(stream: Any) -> None:
        if order is not None:
            stream.codec_context.field_order = order

    frames = [_bar(index) for index in range(8)]
    for index, frame in enumerate(frames):
        frame[::2] = _bar(index + 0.5)[::2]
    return write_video(folder / name, frames, codec=codec, options=options, prepare=prepare)


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
    return write_video(folder / "in.mp4", frames, options={"crf": "18"})


def _shaped(
    folder: Path, *, rotation: int = 0, aspect: Fraction | None = None, size: tuple[int, int] = SIZE
) -> Path:
    def prepare(stream: Any) -> None:
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)

    frames = level_frames(6, *size)
    odd = size[0] % 2 or size[1] % 2
    return write_video(
        folder / ("in.mkv" if odd else "in.mp4"), frames, prepare=prepare,
        codec="ffv1" if odd else "libx264", pixel_format="yuv444p" if odd else "yuv420p",
    )  # fmt: skip


def _numbered(folder: Path, numbers: range | list[int] = range(1, 7)) -> Path:
    pictures = folder / "frames"
    pictures.mkdir()
    for number, image in zip(numbers, level_frames(len(numbers)), strict=True):
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


def _blanked(folder: Path, picture: int = 5) -> Path:
    """A clip of which one picture cannot be decoded."""
    path = write_video(folder / "in.mov", level_frames(12), codec="png", pixel_format="rgb24")
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][picture]
        assert packet.pos is not None
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    return path


def _cut_short(folder: Path) -> Path:
    frames = list(np.random.default_rng(0).integers(0, 256, (48, 48, 64, 3), np.uint8))
    path = write_video(folder / "in.mkv", frames, options={"bf": "0"})
    return cut(path, 0.5)


def _long(folder: Path) -> Path:
    """20 minutes, whose flash and beep are half a second before the end."""
    frames, at = 36_000, 36_000 - 15
    dark, bright = flash_frames(1, 1, 32, 32)[0], flash_frames(1, 0, 32, 32)[0]
    return write_video(
        folder / "in.mkv",
        [dark] * at + [bright] * (frames - at),
        rate=NTSC,
        options={"preset": "ultrafast", "g": "250"},
        sounds=[beep(float(frames / NTSC), float(at / NTSC))],
        sound_codec="libopus",
    )


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
    _constant("24 frames a second.mp4", Fraction(24)),
    _constant("30000/1001 a second.mp4", NTSC),
    _constant("24000/1001 a second, ticks of a millisecond.mkv", Fraction(24000, 1001)),
    _constant("60000/1001 a second.ts", Fraction(60000, 1001), codec="mpeg2video",
              options={"b": "4M"}),
    _constant("25/2 a second.mov", Fraction(25, 2)),
    _constant("vp9.webm", Fraction(25), codec="libvpx-vp9", options={"deadline": "realtime"}),
    _constant("mpeg4.avi", Fraction(25), codec="mpeg4", options={"bf": "2", "b": "4M"}),
    _constant("animation.gif", Fraction(10), codec="gif", pixel_format="gray"),
    _constant("one frame.mp4", Fraction(24), 1),
    _constant("two frames.mp4", Fraction(24), 2),
    Case(
        "20 minutes of 30000/1001 with sound",
        _long,
        {"frames": 36_000, "rate": NTSC, "seconds": 36_000 / NTSC, "sync": 0.0},
        tolerance=float(1 / NTSC),
        slow=True,
    ),
    Case(
        "variable rate.mkv", _uneven,
        {"frames": 8, "rate": None, "seconds": 1.791, "times": UNEVEN_TIMES,
         "numbers": _numbers(8)},
    ),
    Case(
        "variable rate.mp4", partial(_uneven, name="in.mp4"),
        {"frames": 8, "seconds": 1.792, "times": UNEVEN_TIMES, "numbers": _numbers(8)},
        tolerance=0.001,
    ),
    Case(
        "variable rate, frames between", _uneven,
        {"frames": 16, "times": tuple(
            Fraction(tick, 2000)
            for stamp, after in zip(UNEVEN, [*UNEVEN[1:], 1792], strict=True)
            for tick in (2 * stamp, stamp + after)
        )},
        {"fps_scale": "2"}, tolerance=0.001,
    ),
    Case(
        "variable rate to 24 a second", _uneven,
        {"frames": 43, "rate": Fraction(24), "seconds": Fraction(43, 24)}, {"target_fps": "24"},
    ),
    Case(
        "variable rate, from a second on", _uneven,
        {"frames": 2, "times": (Fraction(0), Fraction(350, 1000)), "numbers": (4, 5)},
        {"start_time": "1.0", "max_frames": "2"},
    ),
    Case(
        "first timestamp 0.7 s.mkv", partial(_uneven, first=700),
        {"frames": 8, "times": UNEVEN_TIMES, "numbers": _numbers(8)},
    ),
    Case(
        "first timestamp 0.5 s, with sound.mp4",
        partial(_synced, name="in.mp4", rate=Fraction(25), begin=Fraction(1, 2)),
        {"frames": 30, "rate": Fraction(25)},
    ),
    Case(
        "with sound, from 0.2 s on", partial(_synced, name="in.mp4", rate=NTSC),
        {"frames": 20, "rate": NTSC}, {"start_time": "0.2002", "max_frames": "20"},
    ),
    Case(
        "pictures are stream 1", partial(_synced, name="in.mkv", rate=NTSC, sound_first=True),
        {"frames": 30, "rate": NTSC},
    ),
    Case(
        "timestamps before zero.ts", partial(_moved, name="in.ts", seconds=Fraction(-1, 8)),
        {"frames": 6, "rate": Fraction(24), "numbers": _numbers(6)},
    ),
    Case(
        "pictures that an edit list hides.mov",
        partial(_moved, name="in.mov", seconds=Fraction(-1, 8)),
        {"frames": 3, "rate": Fraction(24), "numbers": (3, 4, 5)},
    ),
    Case(
        "some timestamps missing.mkv", partial(_moved, name="in.mkv", seconds=Fraction(-1, 8)),
        {"frames": 6, "rate": Fraction(24), "numbers": _numbers(6)},
    ),
    Case(
        "no timestamps.h264",
        lambda folder: write_video(folder / "in.h264", level_frames(6)),
        {"frames": 6, "rate": Fraction(24), "numbers": _numbers(6)},
    ),
    Case(
        "equal timestamps",
        lambda folder: write_video(
            folder / "in.mkv", level_frames(6), stamps=[0, 400, 404, 1200, 1600, 2500],
            time_base=Fraction(1, 10_000), options=NO_B_FRAMES,
        ),
        {"frames": 6, "numbers": _numbers(6),
         "times": tuple(Fraction(t, 100) for t in (0, 4, 8, 12, 16, 25))},
    ),
    Case(
        "wrong rate in the header", _wrong_rate,
        {"frames": 24, "rate": Fraction(24), "seconds": Fraction(1)},
    ),
    Case(
        "wrong frame count in the header.avi", _wrong_count,
        {"frames": 5, "times": tuple(Fraction(slot, 15) for slot in (0, 3, 4, 9, 13)),
         "seconds": Fraction(20, 15)},
    ),
    Case(
        "last frame held for 10",
        partial(_moved, name="in.mov", seconds=Fraction(0), last_length=10),
        {"frames": 6, "times": tuple(Fraction(i, 24) for i in range(6)),
         "seconds": Fraction(15, 24)},
    ),
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
        {"frames": 6, "rate": Fraction(24), "numbers": _numbers(6), "size": SIZE},
    ),
    Case(
        "folder of numbered pictures, picture_fps=29.97", _numbered,
        {"frames": 6, "rate": NTSC, "numbers": _numbers(6)}, {"picture_fps": "29.97"},
    ),
    Case(
        "folder with a missing picture", partial(_numbered, numbers=[1, 2, 3, 5]),
        exit_code=2, message="1 of 5 numbered pictures are missing",
    ),
    Case(
        "folder with a missing picture, allow_damaged", partial(_numbered, numbers=[1, 2, 3, 5]),
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
    Case(
        "one damaged picture", _blanked, exit_code=2,
        message="5 of 12 frames",
    ),
    Case(
        "one damaged picture, allow_damaged", _blanked,
        {"frames": 12, "rate": Fraction(24), "numbers": (0, 1, 2, 3, 4, 4, 6, 7, 8, 9, 10, 11)},
        {"allow_damaged": "True"},
    ),
    Case("cut short", _cut_short, exit_code=2, message="cut short"),
    Case(
        "cut short, allow_damaged", _cut_short,
        {"frames": lambda frames: 15 < frames < 33, "rate": Fraction(24)},
        {"allow_damaged": "True"},
    ),
]  # fmt: skip
