"""VMAF, by the libvmaf of an FFmpeg program."""

import functools
import importlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.levels import luma

_MODEL = "vmaf_v0.6.1"
_LOG = "vmaf.json"


def vmaf(pred: Iterable[np.ndarray], target: Iterable[np.ndarray]) -> float:
    """Computes VMAF, model v0.6.1, the mean over the frames.

    Li et al. 2016, "Toward a Practical Perceptual Video Quality Metric". The model looks at luma:
    BT.709 of 8 bits and limited range. Frames are streamed.

    Args:
      pred: frames of the result, RGB `[H, W, 3]` each, uint8 or floats from 0 to 1.
      target: frames of the target, RGB `[H, W, 3]` each, uint8 or floats from 0 to 1.

    Returns:
      Score from 0 to 100, near 100 for identical videos.

    Raises:
      InputError: sizes or numbers of frames differ, there is no FFmpeg with libvmaf, or it fails.
    """
    ffmpeg = require_ffmpeg()
    pred_size, pred = _peek(pred)
    target_size, target = _peek(target)
    if pred_size != target_size:
        raise InputError(f"frames of {pred_size} against a target of {target_size}: same expected.")
    with tempfile.TemporaryDirectory() as folder:
        failed, counts, complaint = _run_ffmpeg(ffmpeg, folder, pred_size, (pred, target))
        # A program that fails leaves its inputs at any frame: their numbers say nothing then.
        if not failed and counts[0] != counts[1]:
            raise InputError(
                f"{counts[0]} frames against {counts[1]} of the target: same expected."
            )
        try:
            log = json.loads(Path(folder, _LOG).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"VMAF: {ffmpeg} failed: {complaint[-500:].strip()}") from error
    return float(log["pooled_metrics"]["vmaf"]["mean"])


@functools.cache
def find_ffmpeg() -> str | None:
    """Finds an FFmpeg program with libvmaf: imageio-ffmpeg's, or that on the PATH, or None."""
    candidates = [shutil.which("ffmpeg")]
    with suppress(ImportError, RuntimeError):  # not installed, or installed without its program
        candidates.insert(0, importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    for candidate in filter(None, candidates):
        command = [candidate, "-hide_banner", "-filters"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        if " libvmaf " in listed:
            return candidate
    return None


def require_ffmpeg() -> str:
    """Returns the path of an FFmpeg program with libvmaf.

    Raises:
      InputError: none is installed.
    """
    ffmpeg = find_ffmpeg()
    if ffmpeg is None:
        raise InputError(
            "VMAF needs an FFmpeg with libvmaf, and none was found in imageio-ffmpeg or on the "
            "PATH. Install one: pip install 'venhancer-jax[metrics]'"
        )
    return ffmpeg


def _run_ffmpeg(
    ffmpeg: str, folder: str, size: str, videos: tuple[Iterator[np.ndarray], Iterator[np.ndarray]]
) -> tuple[bool, list[int], str]:
    """Runs FFmpeg, which writes scores to `folder`; returns failed, frames sent, error message."""
    pipes = [os.pipe() for _ in videos]
    layout = ["-f", "rawvideo", "-pix_fmt", "yuv444p", "-video_size", size]
    inputs = [part for read_end, _ in pipes for part in (*layout, "-i", f"pipe:{read_end}")]
    threads = os.cpu_count() or 1
    graph = f"libvmaf=model=version={_MODEL}:log_fmt=json:log_path={_LOG}:n_threads={threads}"
    command = [ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error"]
    command += [*inputs, "-lavfi", graph, "-f", "null", "-"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        pass_fds=[read_end for read_end, _ in pipes],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for read_end, _ in pipes:
        os.close(read_end)
    # FFmpeg reads its inputs in an order of its own, so each has a thread.
    with ThreadPoolExecutor(len(videos)) as pool:
        sent = [
            pool.submit(_send, end, video) for (_, end), video in zip(pipes, videos, strict=True)
        ]
        _, complaint = process.communicate()
        counts = [future.result() for future in sent]
    return process.returncode != 0, counts, complaint


def _send(pipe: int, frames: Iterator[np.ndarray]) -> int:
    count = 0
    with suppress(BrokenPipeError), open(pipe, "wb") as file:  # broken: it ended, and says why
        for frame in frames:
            file.write(_planes(frame))
            count += 1
    return count


def _planes(frame: np.ndarray) -> bytes:
    """Returns a plane of luma from 16 to 235, and two grey planes of colour."""
    levels = np.round(16 + 219 * luma(frame[None])).astype(np.uint8)
    return levels.tobytes() + bytes([128]) * (2 * levels.size)


def _peek(frames: Iterable[np.ndarray]) -> tuple[str, Iterator[np.ndarray]]:
    """Returns `WxH` of the first frame, and all frames."""
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise InputError("VMAF: no frames.")
    height, width = first.shape[:2]
    return f"{width}x{height}", chain([first], iterator)
