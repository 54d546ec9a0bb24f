"""Folders of videos, and the text prompt of each video."""

from pathlib import Path

from venhancer_jax.errors import InputError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"}
)


def is_video(path: str | Path) -> bool:
    """Returns whether a path is a visible file with the suffix of a video.

    Args:
      path: any path.
    """
    path = Path(path)
    named = path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    return named and path.is_file()


def list_videos(folder: str | Path) -> list[Path]:
    """Lists the videos directly in a folder, sorted by name.

    Args:
      folder: folder of videos.

    Raises:
      InputError: not a folder, not readable, or without a video.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Check the path.")
    try:
        videos = sorted(path for path in folder.iterdir() if is_video(path))
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror}).") from error
    if not videos:
        raise InputError(
            f"{folder}: no video in this folder; expected files ending in "
            f"{' '.join(sorted(VIDEO_SUFFIXES))}."
        )
    return videos


def prompt_for(
    video: str | Path,
    *,
    index: int,
    prompt: str,
    prompt_file: str | Path | None,
    name_as_prompt: bool,
) -> str:
    """Finds the text prompt of a video: the first of these that applies.

    1. With `name_as_prompt`, the file name without suffix, `_` and `-` read as spaces.
    2. With a `prompt_file`, line `index` of those that are not blank.
    3. The first line of the `.txt` file beside the video, with the name of the video.
    4. `prompt`.

    Args:
      video: path of the video.
      index: position of the video among those processed, from 0.
      prompt: prompt of videos without one of their own.
      prompt_file: text file with one prompt per line, or None.
      name_as_prompt: whether file names are prompts.

    Raises:
      InputError: a prompt file cannot be read or has no line for this video.
    """
    video = Path(video)
    if name_as_prompt:
        return " ".join(video.stem.replace("_", " ").replace("-", " ").split())
    if prompt_file is not None:
        lines = _lines(Path(prompt_file))
        if index >= len(lines):
            raise InputError(
                f"{prompt_file}: {len(lines)} prompts, but {video.name} is video number "
                f"{index + 1}. Give one line per video."
            )
        return lines[index]
    beside = video.with_suffix(".txt")
    if beside.is_file():
        lines = _lines(beside)
        if lines:
            return lines[0]
    return prompt


def check_prompts(prompt_file: str | Path, videos: int) -> None:
    """Checks that a prompt file has no more prompts than there are videos.

    Args:
      prompt_file: text file with one prompt per video, a line each.
      videos: number of videos.

    Raises:
      InputError: the file cannot be read, or has more prompts.
    """
    lines = _lines(Path(prompt_file))
    if len(lines) > videos:
        raise InputError(
            f"{prompt_file}: {len(lines)} prompts, number of videos: {videos}."
            " Give one line per video."
        )


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: the prompts cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text. Save the prompts as UTF-8.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
