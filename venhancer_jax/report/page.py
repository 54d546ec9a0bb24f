"""The page of one result: what it looks like beside the input, and how it was computed."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from venhancer_jax import __version__
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.run_record import RunRecord
from venhancer_jax.report import html, plot
from venhancer_jax.report.changes import Changes, measure_changes
from venhancer_jax.report.clips import Clip, open_input, open_output
from venhancer_jax.report.facts import describe_pair
from venhancer_jax.report.pictures import choose_frames, encode_loop, encode_pairs
from venhancer_jax.report.scores import score
from venhancer_jax.report.settings import repeat_command, setting_rows


def write_report(
    source: Path,
    target: Path,
    *,
    config: ConfigDict | None = None,
    run: RunRecord | None = None,
    reference: Path | None = None,
    page: Path | None = None,
) -> Path:
    """Writes the page of one result.

    Settings and record that are not passed are those of an older page of the result, if it has one.

    Args:
      source: input video, image or folder of images.
      target: result.
      config: config of the enhancement of this one video (see `settings.config_of_job`).
      run: record of the runs that the result took.
      reference: video that the result should equal, with as many frames of its size.
      page: file to write, by default `page_path(target)`.

    Returns:
      The page.

    Raises:
      InputError: a video cannot be read, the reference does not fit, or the page cannot be written.
    """
    page = page or page_path(target)
    older = html.read_record(page) or {}
    if config is None and older.get("config"):
        config = _restored(older["config"])
    if run is None and older.get("run"):
        run = RunRecord.from_dict(older["run"])
    before = open_input(source, config)
    after = open_output(target, _picture_rate(before, config))
    changes = measure_changes(after, before, run)
    chosen = choose_frames(before, after, changes, () if run is None else run.scenes)
    pairs = encode_pairs(before, after, chosen)
    scores = None if reference is None else score(target, reference)
    rows = [] if config is None else setting_rows(config)
    record: dict[str, Any] = {
        "kind": "report",
        "version": __version__,
        "name": target.name,
        "source": source.name,
        "input_size": before.size,
        "size": after.size,
        "frames": after.frames,
        "duration": after.seconds,
        "thumbnail": pairs[len(pairs) // 2].thumbnail.uri,
        "run": None if run is None else run.to_dict(),
        "config": None if config is None else _stored(config),
    }
    content = html.render(
        "page.html",
        record,
        title=target.name,
        source=source,
        target=target,
        facts=describe_pair(before, after),
        before=before,
        after=after,
        pairs=pairs,
        loop_video=encode_loop(before, after),
        run=run,
        rows=rows,
        command=None if config is None else repeat_command(config),
        plots=_plots(changes, after),
        measured=changes.frames,
        scores=scores,
        reference=reference,
        version=__version__,
        canvas=plot,
    )
    html.write_page(page, content)
    return page


def page_path(target: Path) -> Path:
    """Returns the page of a result: `OUT.mp4.html` beside `OUT.mp4`."""
    return target.with_name(f"{target.name}.html")


def _stored(config: ConfigDict) -> dict[str, Any]:
    """Returns the values of a config as JSON values."""
    return json.loads(json.dumps(config.to_dict(), default=str))


def _restored(stored: dict[str, Any]) -> ConfigDict | None:
    """Returns the config of an older page; None if settings have changed since."""
    try:
        config = enhancement_config(stored["system"])
        for key, value in stored.items():
            if isinstance(value, dict):
                config[key].update(value)
            else:
                config[key] = tuple(value) if isinstance(value, list) else value
    except (InputError, KeyError, TypeError, AttributeError):
        return None
    return config.lock()


def _plots(changes: Changes, output: Clip) -> list[plot.Plot]:
    shown = [] if changes.time is None else [plot.plot_time(changes.time, output)]
    return shown + [plot.plot_side(profile, side) for side, profile in changes.sides.items()]


def _picture_rate(source: Clip, config: ConfigDict | None) -> Fraction:
    """Returns the frames per second of a result that is a folder of images."""
    rate = Fraction(source.frames / max(source.seconds, 1e-3)).limit_denominator(1001)
    if config is None:
        return rate
    if config.target_fps:
        return Fraction(str(config.target_fps))
    return rate * Fraction(config.fps_scale).limit_denominator(1000)
