"""Replays recordings and prints the error of every recorded tensor.

    python -m convert.parity FILE_OR_FOLDER...

Exit code 0: all within tolerance; 1: some are not; 2: wrong input.
"""

import argparse
import sys

import jax

from venhancer_jax.convert.parity.case import Case, failed
from venhancer_jax.convert.parity.kinds import find_replay
from venhancer_jax.convert.parity.recording import Recording, find
from venhancer_jax.errors import InputError
from venhancer_jax.startup import use_compilation_cache


def main(argv: list[str] | None = None) -> int:
    """Replays the recordings of the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m convert.parity", description=__doc__)
    parser.add_argument("paths", nargs="+", help="recordings, or folders of them")
    parser.add_argument("--checkpoint", help="checkpoint file for recordings without weights")
    args = parser.parse_args(argv)
    use_compilation_cache()
    try:
        recordings = find(args.paths, args.checkpoint)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{'case':58} {'max abs':>9} {'rel L2':>9} {'tolerance':>9}  verdict")
    cases = []
    for recording in recordings:
        for case in replay(recording):
            print(_row(case), flush=True)
            cases.append(case)
    bad = [case for case in cases if not case.passed]
    print(f"{len(cases)} cases in {len(recordings)} recordings, {len(bad)} out of tolerance")
    return 1 if bad else 0


def replay(recording: Recording) -> list[Case]:
    """Compares everything that a recording holds, in float32.

    Args:
      recording: recording of any kind.
    """
    try:
        with jax.default_matmul_precision("highest"):
            return find_replay(recording)(recording)
    except (InputError, KeyError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        return [failed(recording.name, reason)]


def _row(case: Case) -> str:
    verdict = "ok" if case.passed else "FAILED"
    note = f" ({case.note})" if case.note else ""
    return (
        f"{case.name:58} {case.max_abs:9.2e} {case.relative:9.2e} {case.tolerance:9.0e}"
        f"  {verdict}{note}"
    )


if __name__ == "__main__":
    sys.exit(main())
