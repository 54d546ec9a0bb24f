"""Serves a page that enhances videos, on this machine only.

    python -m venhancer_jax.app                                 the small model of the package
    python -m venhancer_jax.app --config=venhancer --allow=VIDEOS

Then open http://127.0.0.1:7860. Settings below are where the page begins; each is a control there.

  --folder=results        results and uploads
  --allow=FOLDER,...      further folders that the page may read and write
  --port=7860             port
  --host=127.0.0.1        address to listen on; 0.0.0.0 lets other machines in, and everybody who
                          reaches the page can use it
  --max_upload=2000       largest upload in MB

A job goes on when the browser is closed. After a restart unfinished jobs are listed, and resume
after their finished segments. Ctrl-C ends the server; finished segments are kept.
"""

import importlib.util
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from venhancer_jax.errors import InputError
from venhancer_jax.interrupt import run_interruptible

_FLAGS = ("folder", "allow", "port", "host", "max_upload")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves the page until it is interrupted; returns the exit code."""
    try:
        values = _parse(sys.argv[1:] if arguments is None else arguments)
        if values is None:
            return 0
        start, flags = values
        return run_interruptible(
            lambda: _serve(start, flags), "finished parts are kept; start the app again to resume"
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]] | None:
    """Returns the arguments that are settings, checked, and the flags; None after `--help`."""
    from venhancer_jax.cli.sample import parse_sample_config
    from venhancer_jax.pipelines.config import check_values

    config, flags = parse_sample_config(arguments, _FLAGS, __doc__)
    if config is None:
        return None
    check_values(config)
    own = tuple(f"--{name}" for name in _FLAGS)
    start = [a for a in arguments if a.partition("=")[0].replace("---", "--") not in own]
    return start, flags


def _serve(start: list[str], flags: dict[str, str]) -> int:
    if importlib.util.find_spec("gradio") is None:
        raise InputError("the page needs Gradio: pip install 'venhancer-jax[app]'")
    from venhancer_jax.app.arguments import config_of
    from venhancer_jax.app.files import Folders
    from venhancer_jax.app.jobs import JobQueue
    from venhancer_jax.app.serve import start_server

    port = _whole(flags, "port", 7860, 65535)
    largest = _whole(flags, "max_upload", 2000, 10**6) * 10**6
    others = [Path(folder) for folder in flags["allow"].split(",") if folder]
    config = config_of(start)
    known = [Path(path) for path in (config.input, config.output) if path]
    folders = Folders(Path(flags["folder"] or "results"), others, known)
    host = flags["host"] or "127.0.0.1"
    _, address = start_server(
        start, folders, JobQueue(folders), host=host, port=port, max_upload=largest
    )
    print(f"serving {address} (Ctrl-C ends); results in {folders.work}", flush=True)
    threading.Event().wait()
    return 0


def _whole(flags: dict[str, str], name: str, default: int, most: int) -> int:
    text = flags[name] or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise InputError(f"{name} {text!r}: expected a whole number from 1 to {most}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
