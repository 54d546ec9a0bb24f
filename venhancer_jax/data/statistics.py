"""Statistics of a prepared dataset as a page of Markdown."""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any


def statistics(clips: list[dict[str, Any]], skipped: dict[str, str], *, shards: int) -> str:
    """Formats the statistics of a dataset as Markdown.

    Args:
      clips: lines of the manifest, at least one.
      skipped: reason for each skipped video, by name.
      shards: number of files of the dataset.
    """
    seconds = [float(clip["frames"] / Fraction(clip["rate"])) for clip in clips]
    frames = sorted(clip["frames"] for clip in clips)
    captioned = sum(bool(clip["caption"]) for clip in clips)
    return "\n".join(
        [
            "# Dataset\n",
            f"* {len(clips)} clips of {len({clip['video'] for clip in clips})} videos,"
            f" {sum(seconds) / 3600:.2f} hours, {sum(clip['size'] for clip in clips) / 1e6:.1f} MB"
            f" in {shards} shards",
            f"* {frames[0]} to {frames[-1]} frames a clip, median {frames[len(frames) // 2]}",
            f"* {captioned} clips have a caption",
            f"* {sum(clip['kept'] for clip in clips)} clips are the bytes of their video, the"
            " others are encoded again",
            f"* {len(skipped)} videos skipped\n",
            _table("size", (f"{clip['width']}x{clip['height']}" for clip in clips)),
            _table("frames a second", (f"{float(Fraction(clip['rate'])):g}" for clip in clips)),
            *(["## Skipped\n", *(f"* {name}: {why}" for name, why in skipped.items()), ""]),
        ]
    )


def _table(title: str, values: Iterable[str]) -> str:
    rows = [f"| {value} | {count} |" for value, count in Counter(values).most_common()]
    return "\n".join([f"| {title} | clips |", "|---|---|", *rows, ""])
