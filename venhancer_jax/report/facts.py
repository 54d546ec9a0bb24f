"""Facts of input and output as rows of a table."""

from pathlib import Path

from venhancer_jax.report.clips import Clip
from venhancer_jax.report.html import size, span


def describe_pair(source: Clip, output: Clip) -> list[tuple[str, str, str]]:
    """Returns the name of each fact, its value for the input and for the output."""
    sides = zip(_facts(source).items(), _facts(output).values(), strict=True)
    return [(name, first, second) for (name, first), second in sides]


def _facts(clip: Clip) -> dict[str, str]:
    info = clip.info
    rate = info.times.rate
    every = clip.frames == len(info.times)
    picture = info.picture
    colour = f"{picture.pixel_format}, {picture.bits} bits"
    return {
        "File": info.path.name,
        "Size on disk": size(_bytes(info.path)),
        "Picture": f"{info.width} × {info.height}",
        "Frames": f"{clip.frames}" if every else f"{clip.frames} of {len(info.times)}",
        "Frame rate": f"{float(rate):.5g} per second" if rate else
                      f"variable, about {clip.frames / max(clip.seconds, 1e-3):.4g} per second",
        "Duration": span(clip.seconds),
        "Codec": info.codec,
        "Samples": f"{colour}, HDR" if picture.is_hdr else colour,
        "Sound": info.audio_codec or "none",
    }  # fmt: skip


def _bytes(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
