"""Makes a dataset of scene clips out of a folder of videos.

    python -m venhancer_jax.data.prepare --input=FOLDER --output=DIR [--captions=FILE.csv|.jsonl]
        [--min_height=256] [--min_frames=16] [--max_frames=600] [--min_fps=15] [--shard_size=512]
        [--workers=N] [--beam=OPTIONS]

Videos are searched in all folders below, cut into scenes, filtered, and written with their captions
as ArrayRecord shards of about `shard_size` megabytes. A table of captions has the columns `name`
(path, file name or stem) and `caption`; else the `.txt` beside a video counts.

DIR holds `clips/` (the dataset), `manifest.jsonl` (each clip, and each video left out with the
reason), `statistics.md`, and `staging/` (the clips as files, with which more videos can be added
later without cutting the others again; it may be deleted). A run that was interrupted goes on where
it was; a run with nothing new does nothing. Exit codes: 0 done, 2 wrong input, 1 anything else.

With `--beam` the videos are cut on the machines of an Apache Beam runner, whose options follow:
`--beam="--runner=DirectRunner --direct_num_workers=4"`. FOLDER and DIR may then be `gs://`; nothing
is staged, so that a second run does all the work again. `pip install 'venhancer-jax[beam]'`.
"""

import dataclasses
import hashlib
import json
import logging
import multiprocessing
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

from absl import flags
from etils import epath

from venhancer_jax.data import records
from venhancer_jax.data.captions import Captions
from venhancer_jax.data.clips import ClipRules, StagedVideo, stage
from venhancer_jax.data.statistics import statistics
from venhancer_jax.errors import InputError
from venhancer_jax.video import is_video

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a run of `prepare` did.

    Attributes:
      clips: in the dataset.
      skipped: videos left out, with the reason.
      changed: whether anything was written.
    """

    clips: int
    skipped: dict[str, str]
    changed: bool


def prepare(
    source: str | Path,
    output: str | Path,
    *,
    captions: str | Path | None = None,
    rules: ClipRules | None = None,
    shard_size: float = 512,
    workers: int = 1,
) -> Prepared:
    """Makes the dataset; see the docstring of the module.

    Args:
      source: folder of videos.
      output: folder of the dataset.
      captions: table, or None.
      rules: which clips are taken.
      shard_size: of a shard, in megabytes.
      workers: processes that cut videos.

    Raises:
      InputError: no folder, no video in it, no clip left, or a wrong setting.
    """
    source, output, rules = Path(source), Path(output), rules or ClipRules()
    check(rules, shard_size, workers)
    videos = find_videos(source, output)
    table = Captions(captions)
    named = {path.relative_to(source).as_posix(): path for path in videos}
    texts = {name: table.of(path, source) for name, path in named.items()}
    marks = {name: _mark(path, rules) for name, path in named.items()}

    wanted = _digest([sorted(marks.items()), sorted(texts.items()), shard_size])
    finished = output / "prepared.json"
    if finished.is_file() and records.is_dataset(output):
        stored = json.loads(finished.read_text(encoding="utf-8"))
        if stored["digest"] == wanted:
            return Prepared(clips=stored["clips"], skipped=stored["skipped"], changed=False)

    staging = output / "staging"
    staging.mkdir(parents=True, exist_ok=True)
    work = [(named[name], name, staging / marks[name], rules) for name in named]
    staged = dict(zip(named, _stage_all(work, workers), strict=True))
    skipped = {name: video.problem for name, video in staged.items() if video.problem}
    for name, problem in skipped.items():
        _log.warning("left out %s: %s", name, problem)
    lines = [
        {**dataclasses.asdict(clip), "video": name, "caption": texts[name]}
        for name, video in staged.items()
        for clip in video.clips
    ]
    if not lines:
        raise no_clip(source, skipped)
    size = sum(line["size"] for line in lines)
    shards = min(len(lines), max(1, round(size / (shard_size * 1e6))))
    records.write(output, _examples(lines, staging, marks), shards=shards)
    # Clips of videos that are gone, or of other rules.
    for folder in staging.iterdir():
        if folder.name not in marks.values():
            shutil.rmtree(folder)
    describe(epath.Path(output), lines, skipped, shards=shards)
    summary = {"digest": wanted, "clips": len(lines), "skipped": skipped}
    _write(finished, json.dumps(summary, indent=1))
    return Prepared(clips=len(lines), skipped=skipped, changed=True)


def check(rules: ClipRules, shard_size: float, workers: int = 1) -> None:
    """Raises InputError for settings that make no sense."""
    if shard_size <= 0 or workers < 1 or rules.min_frames < 1:
        raise InputError(
            f"shard_size={shard_size}, workers={workers}, min_frames={rules.min_frames}: expected"
            " more than 0 each"
        )
    if rules.max_frames < rules.min_frames:
        raise InputError(f"max_frames={rules.max_frames} is less than min_frames")


def no_clip(source: Any, skipped: dict[str, str]) -> InputError:
    """What to say where all videos were left out."""
    name, why = next(iter(skipped.items()))
    return InputError(f"{source}: none of the {len(skipped)} videos gives a clip; {name}: {why}")


def describe(
    output: epath.Path, lines: list[dict[str, Any]], skipped: dict[str, str], *, shards: int
) -> None:
    """Writes the manifest and the statistics of a dataset.

    Args:
      output: folder of the dataset.
      lines: each clip.
      skipped: videos left out, with the reason.
      shards: files of the dataset.
    """
    manifest = [*lines, *({"video": name, "skipped": why} for name, why in skipped.items())]
    _write(output / "manifest.jsonl", "".join(json.dumps(line) + "\n" for line in manifest))
    _write(output / "statistics.md", statistics(lines, skipped, shards=shards))


def find_videos(folder: Path, output: Path | None = None) -> list[Path]:
    """All videos in and below a folder, sorted; hidden ones and those below `output` not.

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


def _stage_all(work: list[tuple], workers: int) -> Iterator[StagedVideo]:
    if workers == 1:
        yield from (stage(*item) for item in work)
        return
    # Decoders run threads, and forking a process with threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(stage, *zip(*work, strict=True))


def _examples(
    lines: list[dict[str, Any]], staging: Path, marks: dict[str, str]
) -> Iterator[dict[str, Any]]:
    for line in lines:
        yield features(line, (staging / marks[line["video"]] / line["file"]).read_bytes())


def features(line: dict[str, Any], video: bytes) -> dict[str, Any]:
    """A record of the dataset, from a line of the manifest and the bytes of the clip."""
    rate = Fraction(line["rate"])
    return {
        "video": video,
        "rate_numerator": rate.numerator,
        "rate_denominator": rate.denominator,
        **{key: line[key] for key in ("name", "caption", "frames", "height", "width", "start")},
    }


def _mark(video: Path, rules: ClipRules) -> str:
    """The folder for the clips of a video: another one once file or rules are others."""
    facts = video.stat()
    what = [str(video.absolute()), facts.st_size, facts.st_mtime_ns, dataclasses.asdict(rules)]
    return _digest(what)[:24]


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _write(path: epath.PathLike, text: str) -> None:
    path = epath.Path(path)
    partial = path.with_name(f".{path.name}")
    partial.write_text(text)
    partial.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code."""
    values, rules = flags.FlagValues(), ClipRules()
    flags.DEFINE_string("input", None, "folder of videos", flag_values=values)
    flags.DEFINE_string("output", None, "folder of the dataset", flag_values=values)
    flags.DEFINE_string("captions", None, "table of captions", flag_values=values)
    flags.DEFINE_float("shard_size", 512, "megabytes of a shard", flag_values=values)
    flags.DEFINE_integer("workers", os.cpu_count() or 1, "processes", flag_values=values)
    flags.DEFINE_float("min_fps", rules.min_fps, "frames a second", flag_values=values)
    flags.DEFINE_string("beam", None, "options of a Beam runner", flag_values=values)
    for name in ("min_height", "min_frames", "max_frames"):
        flags.DEFINE_integer(name, getattr(rules, name), "of a clip", flag_values=values)
    flags.DEFINE_bool("help", False, "", short_name="h", flag_values=values)
    try:
        try:
            rest = values(["prepare", *arguments])
        except flags.Error as error:
            raise InputError(f"{error}. --help lists the settings") from None
        given: dict[str, Any] = {name: values[name].value for name in values}
        if given["help"]:
            print(__doc__)
            return 0
        if len(rest) > 1:
            raise InputError(f"unexpected argument {rest[1]!r}: settings are --name=value")
        if not given["input"] or not given["output"]:
            raise InputError("give --input=FOLDER and --output=DIR")
        rules = ClipRules(**{name: given[name] for name in dataclasses.asdict(rules)})
        settings: dict[str, Any] = {"captions": given["captions"], "rules": rules}
        settings["shard_size"] = given["shard_size"]
        if given["beam"] is None:
            done = prepare(given["input"], given["output"], workers=given["workers"], **settings)
        else:
            from venhancer_jax.data.beam import prepare_with_beam  # apache-beam is optional

            done = prepare_with_beam(
                given["input"], given["output"], options=shlex.split(given["beam"]), **settings
            )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    what = "wrote" if done.changed else "nothing to do: there are already"
    print(f"{what} {done.clips} clips in {given['output']}; {len(done.skipped)} videos left out")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
