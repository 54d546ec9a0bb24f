"""Cases of times, and of files of which a part is missing."""

from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.media.cases import Case
from benchmarks.media.inputs import (
    LEVELS,
    copy_video,
    cut,
    flash_frames,
    level_frames,
    make_video,
    patch,
    tone,
)

NTSC = Fraction(30000, 1001)
MS = Fraction(1, 1000)
UNEVEN = [0, 40, 80, 120, 900, 1250, 1300, 1750]
UNEVEN_TIMES = tuple(Fraction(stamp, 1000) for stamp in UNEVEN)
NO_B_FRAMES = {"crf": "0", "bf": "0", "preset": "ultrafast"}
SIZE = (64, 48)


def numbers(frames: int) -> tuple[int, ...]:
    """Returns the numbers of as many frames of `level_frames`."""
    return tuple(index % LEVELS for index in range(frames))


def _levels(folder: Path, name: str, count: int, **options: Any) -> Path:
    return make_video(folder / name, level_frames(count), **options)


def _constant(name: str, rate: Fraction, frames: int = 20, **options: Any) -> Case:
    """A clip of a constant rate, whose frames all come out at that exact rate."""
    suffix = Path(name).suffix
    return Case(
        name,
        partial(_levels, name=f"in{suffix}", count=frames, rate=rate, **options),
        {"frames": frames, "rate": rate, "seconds": frames / rate, "size": SIZE,
         "numbers": numbers(frames)},
    )  # fmt: skip


def _uneven(folder: Path, name: str = "in.mkv", first: int = 0) -> Path:
    stamps = [first + stamp for stamp in UNEVEN]
    return _levels(folder, name, 8, stamps=stamps, time_base=MS, options=NO_B_FRAMES)


def _moved(folder: Path, name: str, seconds: Fraction, **options: Any) -> Path:
    whole = make_video(folder / "whole.nut", level_frames(6), options=NO_B_FRAMES)
    return copy_video(whole, folder / name, lambda time: time + seconds, **options)


def _synced(
    folder: Path, name: str, rate: Fraction, begin: Fraction = Fraction(0), **options: Any
) -> Path:
    """A clip whose flash is at 0.4 s of the pictures, with a beep at the time of the flash."""
    at = round(rate * Fraction(2, 5))
    stamps = [round((begin + index / rate) * 90000) for index in range(30)]
    return make_video(
        folder / name,
        flash_frames(30, at),
        rate=rate,
        stamps=stamps,
        time_base=Fraction(1, 90000),
        sounds=[tone(float(begin + 30 / rate), silent_before=float(begin + at / rate))],
        options=NO_B_FRAMES,
        **options,
    )


def _wrong_rate(folder: Path) -> Path:
    path = make_video(folder / "in.mkv", level_frames(24))
    duration = (10**9 // 24).to_bytes(4, "big")
    old = bytes.fromhex("23e38384")  # DefaultDuration
    data = path.read_bytes()
    place = data.index(old) + 4
    assert abs(int.from_bytes(data[place : place + 4], "big") - int.from_bytes(duration, "big")) < 2
    return patch(path, data[place - 4 : place + 4], old + (20_000_000).to_bytes(4, "big"))


def _wrong_count(folder: Path) -> Path:
    """An AVI whose header lists 20 slots for 14."""
    stamps = [0, 3, 4, 9, 13]
    path = make_video(
        folder / "in.avi", level_frames(5), rate=Fraction(15), codec="ffv1", stamps=stamps
    )
    data = bytearray(path.read_bytes())
    length = data.index(b"strh") + 8 + 32
    data[length : length + 4] = (20).to_bytes(4, "little")
    path.write_bytes(data)
    return path


def _blanked(folder: Path, picture: int = 5) -> Path:
    """A clip of which one picture cannot be decoded."""
    path = make_video(folder / "in.mov", level_frames(12), codec="png", pixel_format="rgb24")
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][picture]
        assert packet.pos is not None
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    return path


def _cut_short(folder: Path) -> Path:
    frames = list(np.random.default_rng(0).integers(0, 256, (48, 48, 64, 3), np.uint8))
    path = make_video(folder / "in.mkv", frames, options={"bf": "0"})
    return cut(path, 0.5)


def _long(folder: Path) -> Path:
    """20 minutes, whose flash and beep are half a second before the end."""
    frames, at = 36_000, 36_000 - 15
    dark, bright = flash_frames(1, 1, 32, 32)[0], flash_frames(1, 0, 32, 32)[0]
    return make_video(
        folder / "in.mkv",
        [dark] * at + [bright] * (frames - at),
        rate=NTSC,
        options={"preset": "ultrafast", "g": "250"},
        sounds=[tone(float(frames / NTSC), silent_before=float(at / NTSC))],
        sound_codec="libopus",
    )


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
         "numbers": numbers(8)},
    ),
    Case(
        "variable rate.mp4", partial(_uneven, name="in.mp4"),
        {"frames": 8, "seconds": 1.792, "times": UNEVEN_TIMES, "numbers": numbers(8)},
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
        {"frames": 8, "times": UNEVEN_TIMES, "numbers": numbers(8)},
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
        {"frames": 6, "rate": Fraction(24), "numbers": numbers(6)},
    ),
    Case(
        "pictures that an edit list hides.mov",
        partial(_moved, name="in.mov", seconds=Fraction(-1, 8)),
        {"frames": 3, "rate": Fraction(24), "numbers": (3, 4, 5)},
    ),
    Case(
        "some timestamps missing.mkv", partial(_moved, name="in.mkv", seconds=Fraction(-1, 8)),
        {"frames": 6, "rate": Fraction(24), "numbers": numbers(6)},
    ),
    Case(
        "no timestamps.h264",
        lambda folder: make_video(folder / "in.h264", level_frames(6)),
        {"frames": 6, "rate": Fraction(24), "numbers": numbers(6)},
    ),
    Case(
        "equal timestamps",
        lambda folder: make_video(
            folder / "in.mkv", level_frames(6), stamps=[0, 400, 404, 1200, 1600, 2500],
            time_base=Fraction(1, 10_000), options=NO_B_FRAMES,
        ),
        {"frames": 6, "numbers": numbers(6),
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
