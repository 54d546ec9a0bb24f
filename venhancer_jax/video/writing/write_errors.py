"""Words on errors of the system and of encoders while pictures are written."""

import errno
import shutil
from pathlib import Path

from av.error import FFmpegError

from venhancer_jax.errors import InputError
from venhancer_jax.video.writing.encoding import Encoding


def explain_write_error(
    error: BaseException, path: Path, encoding: Encoding, *, left: str
) -> InputError | None:
    """Returns the error that a person can act on, or None for an error of another kind.

    Args:
      error: error that was raised while pictures were encoded or stored.
      path: final name of the video.
      encoding: codec and size of its pictures.
      left: sentence, without its end, on what is left on the disk.
    """
    if isinstance(error, InputError) or not isinstance(error, (OSError, FFmpegError)):
        return None
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        free = _free_megabytes(path.parent)
        return InputError(
            f"{path}: the disk is full ({free:.1f} MB were free). {left}; make room or write to"
            " another disk."
        )
    return InputError(
        f"{path}: cannot write {encoding.codec} of {encoding.width}x{encoding.height} here"
        f" ({error.strerror or error}). {left}; check the folder and the size."
    )


def _free_megabytes(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free / 1e6
    except OSError:
        return 0.0
