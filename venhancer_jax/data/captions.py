"""Captions of videos, from a table or from a text file beside each video."""

import csv
import json
from pathlib import Path

from venhancer_jax.errors import InputError
from venhancer_jax.video import prompt_for

_KEYS = ("name", "file", "path", "video")


class Captions:
    """Captions by the path of a video relative to the dataset's folder, its file name or its stem.

    Without a line in the table, the first line of the `.txt` beside the video is its caption; else
    the caption is empty.
    """

    def __init__(self, table: str | Path | None = None):
        """Reads a table.

        Args:
          table: CSV file with a header, or JSONL file, with `name` and `caption` in each line; or
            None.

        Raises:
          InputError: no such table, another suffix, or a line without `name` or `caption`.
        """
        self._by_name = {} if table is None else _read(Path(table))

    def of(self, video: Path, folder: Path) -> str:
        """Returns the caption of a video.

        Args:
          video: file in or below the folder.
          folder: folder of the dataset.
        """
        for key in (video.relative_to(folder).as_posix(), video.name, video.stem):
            if key in self._by_name:
                return self._by_name[key]
        return prompt_for(video, index=0, prompt="", prompt_file=None, name_as_prompt=False)


def _read(table: Path) -> dict[str, str]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"captions {table}: cannot be read as UTF-8 text ({error})") from error
    if table.suffix == ".csv":
        rows = [(i, row) for i, row in enumerate(csv.DictReader(text.splitlines()), 2)]
    elif table.suffix == ".jsonl":
        rows = [(i, _object(table, i, line)) for i, line in enumerate(text.splitlines(), 1) if line]
    else:
        raise InputError(f"captions {table}: expected a .csv or a .jsonl file")
    captions = {}
    for line, row in rows:
        name = next((row[key] for key in _KEYS if row.get(key)), None)
        if name is None or row.get("caption") is None:
            raise InputError(
                f"captions {table}, line {line}: expected a `caption` and a `name`, found the"
                f" columns {', '.join(map(str, row))}"
            )
        captions[str(name)] = str(row["caption"]).strip()
    return captions


def _object(table: Path, line: int, text: str) -> dict:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"captions {table}, line {line}: not JSON ({error})") from error
    if not isinstance(row, dict):
        raise InputError(f"captions {table}, line {line}: expected an object, found {text[:40]}")
    return row
