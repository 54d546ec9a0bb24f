"""VMAF of identical and of blurred videos, and what happens when it cannot be had."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.metrics.vmaf import find_ffmpeg, vmaf

module = importlib.import_module("venhancer_jax.metrics.vmaf")
needs_ffmpeg = pytest.mark.skipif(find_ffmpeg() is None, reason="no FFmpeg with libvmaf")


@needs_ffmpeg
def test_identical_videos_are_near_100_and_blurred_ones_lower(
    moving: np.ndarray, blurred: np.ndarray
) -> None:
    assert vmaf(moving, moving) > 97
    assert vmaf(blurred, moving) < 60
    # It is not symmetric: which of the two is the target counts.
    assert vmaf(moving, blurred) > vmaf(blurred, moving) + 20


@needs_ffmpeg
def test_is_the_number_of_the_program_itself(
    moving: np.ndarray, blurred: np.ndarray, tmp_path: Path
) -> None:
    inputs = []
    for name, frames in (("a", blurred), ("b", moving)):
        rgb = tmp_path / name
        rgb.write_bytes(frames.tobytes())
        inputs += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "112x96", "-i", str(rgb)]
    to_luma = "scale=out_color_matrix=bt709:out_range=tv,format=yuv444p"
    graph = f"[0:v]{to_luma}[a];[1:v]{to_luma}[b];[a][b]libvmaf=model=version=vmaf_v0.6.1"
    command = [str(find_ffmpeg()), *inputs, "-lavfi", graph, "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    expected = float(said.rpartition("VMAF score: ")[2].split()[0])
    assert vmaf(blurred, moving) == pytest.approx(expected, abs=0.3)


@needs_ffmpeg
def test_frames_stream(moving: np.ndarray) -> None:
    # More than fits into pipes, from generators that are read in turn.
    frames = [moving[i % 5].repeat(4, 0).repeat(4, 1) for i in range(6)]
    assert vmaf(iter(frames), iter(frames)) > 97


@needs_ffmpeg
def test_what_differs_is_told(moving: np.ndarray) -> None:
    with pytest.raises(InputError, match="4 frames against 5"):
        vmaf(moving[:4], moving)
    with pytest.raises(InputError, match="112x95 against a target of 112x96"):
        vmaf(moving[:, 1:], moving)
    with pytest.raises(InputError, match="no frames"):
        vmaf(moving[:0], moving)


@needs_ffmpeg
def test_a_video_that_fails_on_the_way_is_told(moving: np.ndarray) -> None:
    def broken():
        yield moving[0]
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        vmaf(broken(), moving)


def test_a_program_that_fails_is_told(
    moving: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho out of luck >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(module, "find_ffmpeg", lambda: str(program))
    with pytest.raises(InputError, match="out of luck"):
        vmaf(moving, moving)


def test_absent_program_is_told(
    moving: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ' .. ssim  VV->V  '\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    find_ffmpeg.cache_clear()
    try:
        assert find_ffmpeg() is None
        with pytest.raises(InputError, match=r"pip install 'venhancer-jax\[metrics\]'"):
            vmaf(moving, moving)
        program.write_text("#!/bin/sh\necho ' .. libvmaf  VV->V  '\n")
        find_ffmpeg.cache_clear()
        assert find_ffmpeg() == str(program)
    finally:
        find_ffmpeg.cache_clear()
