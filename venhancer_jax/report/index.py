"""The page of a folder of results."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from venhancer_jax import __version__
from venhancer_jax.report import html

INDEX = "index.html"
_JOB, _PAGE = ".job", ".html"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """A video that could not be enhanced.

    Attributes:
      name: file name of the result that is missing.
      source: file name of the video.
      reason: what was wrong and what to do.
    """

    name: str
    source: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of an index.

    Attributes:
      name: file name of the result.
      source: file name of the input; empty if it is not known.
      state: `done`, `resumed`, `failed` or `interrupted`.
      reason: why it is not done, or how often it was resumed.
      page: link to its page; empty without one.
      video: link to the result; empty without one.
      record: record of its page.
    """

    name: str
    source: str = ""
    state: str
    reason: str = ""
    page: str = ""
    video: str = ""
    record: dict[str, Any] = dataclasses.field(default_factory=dict)


def write_index(folder: Path, failures: Sequence[Failure] = ()) -> Path:
    """Writes the page of a folder: its reports, what was interrupted, and what failed.

    Failures of earlier runs stay until there is a result.

    Args:
      folder: folder with results and their reports.
      failures: videos that could not be enhanced in this run.

    Returns:
      The page.

    Raises:
      InputError: the page cannot be written, or a file of its name is something else.
    """
    page = folder / INDEX
    older = (html.read_record(page) or {}).get("failures", [])
    known = {each["name"]: Failure(**each) for each in older} | {f.name: f for f in failures}
    entries = {entry.name: entry for entry in _reports(folder)}
    entries |= {entry.name: entry for entry in _interrupted(folder)}
    # A result that was there before its video failed stays, and so does its page.
    fresh = {failure.name for failure in failures}
    failed = [f for f in known.values() if f.name in fresh or f.name not in entries]
    for failure in failed:
        entry = entries.get(failure.name) or Entry(name=failure.name, state="failed")
        entries[failure.name] = dataclasses.replace(
            entry, state="failed", source=failure.source, reason=failure.reason
        )
    ordered = [entries[name] for name in sorted(entries)]
    states = [entry.state for entry in ordered]
    record = {"kind": "index", "version": __version__,
              "failures": [dataclasses.asdict(failure) for failure in failed]}  # fmt: skip
    content = html.render(
        "index.html",
        record,
        title=folder.resolve().name,
        entries=ordered,
        counts={state: states.count(state) for state in dict.fromkeys(states)},
        version=__version__,
    )
    html.write_page(page, content)
    return page


def _reports(folder: Path) -> list[Entry]:
    """Returns the results of a folder that have a page."""
    found = []
    for page in sorted(folder.glob(f"*{_PAGE}")):
        record = html.read_record(page)
        if record is None or record.get("kind") != "report":
            continue
        video = page.with_name(page.name.removesuffix(_PAGE))
        run = record.get("run") or {}
        runs = len(run.get("started", ()))
        found.append(
            Entry(
                name=record["name"],
                source=record["source"],
                state="resumed" if runs > 1 else "done",
                reason=f"in {runs} runs" if runs > 1 else "",
                page=quote(page.name),
                video=quote(video.name) if video.exists() else "",
                record=record,
            )
        )
    return found


def _interrupted(folder: Path) -> list[Entry]:
    """Returns the results of a folder that a run has begun and not finished."""
    found = []
    for job in sorted(folder.glob(f"*{_JOB}")):
        if not (job / "manifest.json").exists():
            continue
        parts = sum(path.stem.isdecimal() for path in job.glob("*.json"))
        found.append(
            Entry(
                name=job.name.removesuffix(_JOB),
                state="interrupted",
                reason=f"{parts} part{'' if parts == 1 else 's'} finished; repeat the command to"
                " resume",
            )
        )
    return found
