"""A prepared dataset besides its clips: which videos, the manifest, and the statistics."""

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from etils import epath

from venhancer_jax.data.clips import ClipRules
from venhancer_jax.data.statistics import statistics
from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_write
from venhancer_jax.video import is_video


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """Result of a run of `prepare`.

    Attributes:
      clips: number of clips in the dataset.
      skipped: reason for each skipped video, by name.
      changed: whether anything was written.
    """

    clips: int
    skipped: dict[str, str]
    changed: bool


def check_settings(rules: ClipRules, shard_size: float, workers: int = 1) -> None:
    """Checks settings.

    Args:
      rules: rules for clips.
      shard_size: size of a shard in megabytes.
      workers: number of processes.

    Raises:
      InputError: a value out of range.
    """
    if shard_size <= 0 or workers < 1 or rules.min_frames < 1:
        raise InputError(
            f"shard_size={shard_size}, workers={workers}, min_frames={rules.min_frames}: expected"
            " more than 0 each"
        )
    if rules.max_frames < rules.min_frames:
        raise InputError(f"max_frames={rules.max_frames} is less than min_frames")


def no_clip(source: Any, skipped: dict[str, str]) -> InputError:
    """Returns the error for a folder without a usable video.

    Args:
      source: folder of videos.
      skipped: reason for each skipped video, by name; at least one.
    """
    name, why = next(iter(skipped.items()))
    return InputError(f"{source}: none of the {len(skipped)} videos gives a clip; {name}: {why}")


def describe(
    output: epath.Path, lines: list[dict[str, Any]], skipped: dict[str, str], *, shards: int
) -> None:
    """Writes the manifest and the statistics of a dataset.

    Args:
      output: folder of the dataset.
      lines: facts on each clip.
      skipped: reason for each skipped video, by name.
      shards: number of files of the dataset.
    """
    manifest = [*lines, *({"video": name, "skipped": why} for name, why in skipped.items())]
    atomic_write(output / "manifest.jsonl", "".join(json.dumps(line) + "\n" for line in manifest))
    atomic_write(output / "statistics.md", statistics(lines, skipped, shards=shards))


def find_videos(folder: Path, output: Path | None = None) -> list[Path]:
    """Lists the visible videos in and below a folder, sorted.

    Args:
      folder: folder of videos.
      output: folder to leave out, or None.

    Raises:
      InputError: no such folder, or no video in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Check the path")
    found = sorted(
        path
        for path in folder.rglob("*")
        if is_video(path)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (output is None or output.absolute() not in path.absolute().parents)
    )
    if not found:
        raise InputError(f"{folder}: no video in this folder or below it")
    return found


def features(line: dict[str, Any], video: bytes) -> dict[str, Any]:
    """Returns the record of a clip.

    Args:
      line: facts on the clip.
      video: bytes of its file.
    """
    rate = Fraction(line["rate"])
    return {
        "video": video,
        "rate_numerator": rate.numerator,
        "rate_denominator": rate.denominator,
        **{key: line[key] for key in ("name", "caption", "frames", "height", "width", "start")},
    }
