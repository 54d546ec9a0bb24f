"""Cases of high dynamic range and its metadata."""

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.media.cases import Case
from benchmarks.media.dynamic_light import (
    DOLBY_VISION,
    SUPPLEMENT,
    dolby_vision,
    hdr10_plus,
    with_units,
)
from benchmarks.media.waves import HLG, PQ, SDR, kept, write_waves

_DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
_LIGHT = {"x265-params": f"log-level=none:lossless=1:master-display={_DISPLAY}:max-cll=900,250"}
_LIGHT_KEPT = (1000.0, 900)


def _bright(tags: tuple[int, int, int], codec: str, output: str, light: Any, **more: Any) -> Case:
    make = partial(
        write_waves, name="in.mkv", codec="libx265", layout="yuv420p10le", tags=tags, options=_LIGHT
    )
    curve = "PQ" if tags == PQ else "HLG"
    stored = {"prores": "yuv422p10le"}.get(codec, "yuv420p10le")
    return kept(
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
    plain = write_waves(folder, "plain.mkv", "libx265", "yuv420p10le", tags=PQ, options=options)
    target = with_units(plain, folder / "in.mkv", kind=kind, payload=payload)
    plain.unlink()
    return target


def _dynamic(name: str, kind: int, payload: bytes, said: str) -> Case:
    make = partial(_with_dynamic_light, kind=kind, payload=payload)
    expected = {"tags": (*PQ, 1), "light": _LIGHT_KEPT}
    settings = {"codec": "h265"}
    return kept(name, make, "yuv420p10le", settings=settings, expected=expected, message=said)


CASES = [
    _bright(PQ, "h265", "out.mp4", _LIGHT_KEPT),
    _bright(PQ, "h264", "out.mkv", _LIGHT_KEPT),
    _bright(PQ, "av1", "out.webm", _LIGHT_KEPT),
    _bright(HLG, "h265", "out.mkv", _LIGHT_KEPT),
    _bright(PQ, "prores", "out.mov", None, message="mastering display"),
    _bright(HLG, "ffv1", "out.mkv", None, message="mastering display", psnr=60),
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
        {"frames": 5, "tags": (*SDR, 1), "light": None},
        {"hdr": "sdr", "pixel_format": "yuv420p"},
        message="ordinary brightness",
    ),
    Case(
        "PQ to 8 bits is refused",
        partial(write_waves, name="in.mkv", codec="libx265", layout="yuv420p10le", tags=PQ),
        settings={"pixel_format": "yuv420p"},
        exit_code=2,
        message="hdr=sdr",
    ),
    Case(
        "PQ to ordinary brightness",
        partial(write_waves, name="in.mkv", codec="libx265", layout="yuv420p10le", tags=PQ),
        {"frames": 5, "tags": (*SDR, 1), "light": None},
        {"hdr": "sdr", "pixel_format": "yuv420p"},
        message="ordinary brightness",
    ),
]  # fmt: skip
