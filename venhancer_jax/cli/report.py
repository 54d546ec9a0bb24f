"""Writes a page that shows a result beside its input, or an index of a folder of results.

    venhancer-jax report --input=IN.mp4 --output=OUT.mp4
    venhancer-jax report --input=IN.mp4 --output=OUT.mp4 --reference=BEST.mp4
    venhancer-jax report --folder=RESULTS

The page is one file, OUT.mp4.html, that opens offline and loads nothing; that of a folder is
index.html. Settings, times and borders are those of an older page of the result, such as
--config.report=True writes. Exit codes: 0 done, 2 wrong input.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from venhancer_jax.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; returns the exit code.

    Args:
      arguments: command-line arguments without the program.
    """
    options = _parse(arguments)
    try:
        print(f"wrote {_write(options)}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="venhancer-jax report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--input", type=Path, help="the input: a video, an image, or a folder of images")
    add("--output", type=Path, help="the result")
    add("--reference", type=Path, help="what the result should equal; adds metrics")
    add("--page", type=Path, help="the page to write (default: OUTPUT.html)")
    add("--folder", type=Path, help="a folder of results, to write its index")
    return parser.parse_args(arguments)


def _write(options: argparse.Namespace) -> Path:
    from venhancer_jax.report import write_index, write_report

    pair = options.input, options.output
    if options.folder is not None:
        if any((*pair, options.reference, options.page)):
            raise InputError("--folder goes alone")
        if not options.folder.is_dir():
            raise InputError(f"--folder={options.folder}: expected a folder")
        return write_index(options.folder)
    if not all(pair):
        raise InputError("give --input and --output, or --folder; see --help")
    return write_report(*pair, reference=options.reference, page=options.page)
