"""Prepares a dataset of scene clips from a folder of videos.

    python -m venhancer_jax.data.prepare --input=FOLDER --output=DIR [--captions=FILE.csv|.jsonl]
        [--min_height=256] [--min_frames=16] [--max_frames=600] [--min_fps=15] [--shard_size=512]
        [--workers=N] [--beam=OPTIONS]

Videos are searched in all folders below, cut into scenes, filtered, and written with their captions
as ArrayRecord shards of about `shard_size` megabytes. A table of captions has the columns `name`
(path, file name or stem) and `caption`; else the `.txt` beside a video counts.

DIR holds `clips/` (the dataset), `manifest.jsonl` (each clip, and each skipped video with the
reason) and `statistics.md`; while a run lasts also `staging/`, the clips as files. An interrupted
run resumes where it stopped, a run with new videos cuts only those, and a run with nothing new does
nothing. Exit codes: 0 done, 2 wrong input, 1 anything else.

With `--beam` the videos are cut on the machines of an Apache Beam runner, whose options follow:
`--beam="--runner=DirectRunner --direct_num_workers=4"`. FOLDER and DIR may then be `gs://`; every
run does all the work. `pip install 'venhancer-jax[beam]'`.
"""

import dataclasses
import hashlib
import itertools
import json
import logging
import multiprocessing
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from absl import flags
from etils import epath

from venhancer_jax.data import records
from venhancer_jax.data.captions import Captions
from venhancer_jax.data.clips import ClipRules, StagedVideo, stage
from venhancer_jax.data.manifest import (
    Prepared,
    check_settings,
    describe,
    features,
    find_videos,
    no_clip,
)
from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_write, lock_for

_log = logging.getLogger(__name__)


def prepare(
    source: str | Path,
    output: str | Path,
    *,
    captions: str | Path | None = None,
    rules: ClipRules | None = None,
    shard_size: float = 512,
    workers: int = 1,
) -> Prepared:
    """Writes a dataset of scene clips, unless it is there already.

    Args:
      source: folder of videos.
      output: folder of the dataset.
      captions: table of captions, or None.
      rules: rules for clips.
      shard_size: size of a shard in megabytes.
      workers: number of processes that cut videos.

    Raises:
      InputError: no folder, no video in it, no usable clip, or a wrong setting.
    """
    source, output, rules = Path(source), Path(output), rules or ClipRules()
    check_settings(rules, shard_size, workers)
    videos = find_videos(source, output)
    table = Captions(captions)
    named = {path.relative_to(source).as_posix(): path for path in videos}
    texts = {name: table.of(path, source) for name, path in named.items()}
    marks = {name: _mark(path, rules) for name, path in named.items()}
    digest = _digest([sorted(marks.items()), sorted(texts.items()), shard_size])
    output.mkdir(parents=True, exist_ok=True)
    with lock_for(output):  # a second run waits, and then finds its work done
        done = _finished(output, digest)
        if done is None:
            done = _write_dataset(source, output, named, texts, marks, rules, shard_size, workers)
            summary = {"digest": digest, "clips": done.clips, "skipped": done.skipped}
            atomic_write(output / "prepared.json", json.dumps(summary, indent=1))
        # The clips are in the dataset now.
        shutil.rmtree(output / "staging", ignore_errors=True)
    return done


def _finished(output: Path, digest: str) -> Prepared | None:
    """Returns the result of an earlier run with equal videos, captions and settings, or None."""
    summary = output / "prepared.json"
    if not summary.is_file() or not records.is_dataset(output):
        return None
    stored = json.loads(summary.read_text(encoding="utf-8"))
    if stored["digest"] != digest:
        return None
    return Prepared(clips=stored["clips"], skipped=stored["skipped"], changed=False)


def _write_dataset(
    source: Path,
    output: Path,
    named: dict[str, Path],
    texts: dict[str, str],
    marks: dict[str, str],
    rules: ClipRules,
    shard_size: float,
    workers: int,
) -> Prepared:
    """Cuts new videos, copies clips of known ones from the older dataset, and writes all."""
    staging = output / "staging"
    older = records.read_videos(output)
    known = {name: older[mark] for name, mark in marks.items() if mark in older}
    new = [name for name in named if name not in known]
    work = [(named[name], name, staging / marks[name], rules) for name in new]
    cut = dict(zip(new, _stage_all(work, workers), strict=True))
    staged = {name: known.get(name) or dataclasses.asdict(cut[name]) for name in named}
    skipped = {name: video["problem"] for name, video in staged.items() if video["problem"]}
    for name, problem in skipped.items():
        _log.warning("skipped %s: %s", name, problem)
    lines = [
        {**clip, "video": name, "caption": texts[name]}
        for name, video in staged.items()
        for clip in video["clips"]
    ]
    if not lines:
        raise no_clip(source, skipped)
    size = sum(line["size"] for line in lines)
    shards = min(len(lines), max(1, round(size / (shard_size * 1e6))))
    fresh = (
        features(line, (staging / marks[line["video"]] / line["file"]).read_bytes())
        for line in lines
        if line["video"] in cut
    )
    copied = _known_examples(output, {x["name"]: x for x in lines if x["video"] in known})
    videos = {marks[name]: video for name, video in staged.items()}
    records.write(output, itertools.chain(fresh, copied), shards=shards, videos=videos)
    describe(epath.Path(output), lines, skipped, shards=shards)
    return Prepared(clips=len(lines), skipped=skipped, changed=True)


def _known_examples(output: Path, lines: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields the records of clips that an older dataset holds."""
    if not lines:
        return
    dataset = records.open_dataset(output)
    for index in range(len(dataset)):
        record = dataset[index]
        if (line := lines.get(record["name"].decode())) is not None:
            yield features(line, record["video"])


def _stage_all(work: list[tuple], workers: int) -> Iterator[StagedVideo]:
    if workers == 1 or not work:
        yield from (stage(*item) for item in work)
        return
    # Decoders run threads, and forking a process with threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(stage, *zip(*work, strict=True))


def _mark(video: Path, rules: ClipRules) -> str:
    """Returns a digest of a video file's path, size and time, and of the rules for clips."""
    facts = video.stat()
    what = [str(video.absolute()), facts.st_size, facts.st_mtime_ns, dataclasses.asdict(rules)]
    return _digest(what)[:24]


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; returns the exit code.

    Args:
      arguments: command-line arguments without the program.
    """
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
        parsed: dict[str, Any] = {name: values[name].value for name in values}
        if parsed["help"]:
            print(__doc__)
            return 0
        if len(rest) > 1:
            raise InputError(f"unexpected argument {rest[1]!r}: settings are --name=value")
        if not parsed["input"] or not parsed["output"]:
            raise InputError("give --input=FOLDER and --output=DIR")
        rules = ClipRules(**{name: parsed[name] for name in dataclasses.asdict(rules)})
        settings: dict[str, Any] = {"captions": parsed["captions"], "rules": rules}
        settings["shard_size"] = parsed["shard_size"]
        if parsed["beam"] is None:
            done = prepare(parsed["input"], parsed["output"], workers=parsed["workers"], **settings)
        else:
            from venhancer_jax.data.beam import prepare_with_beam  # apache-beam is optional

            done = prepare_with_beam(
                parsed["input"], parsed["output"], options=shlex.split(parsed["beam"]), **settings
            )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    what = "wrote" if done.changed else "nothing to do: there are already"
    print(f"{what} {done.clips} clips in {parsed['output']}; {len(done.skipped)} videos skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
