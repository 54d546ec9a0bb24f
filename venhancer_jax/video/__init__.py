"""Video files in and out: probing, streaming RGB frames, and writing finished clips.

Frames are RGB arrays `[H, W, 3]`, uint8, or uint16 with white at 65,535, upright and with square
pixels. A wrong file or setting raises `venhancer_jax.errors.InputError`.
"""

from venhancer_jax.video.reading.bars import crop_bars
from venhancer_jax.video.reading.folder import (
    VIDEO_SUFFIXES,
    check_prompts,
    is_video,
    list_videos,
    prompt_for,
)
from venhancer_jax.video.reading.probe import VideoInfo, probe
from venhancer_jax.video.reading.read import first_frame, read_frames
from venhancer_jax.video.reading.stills import is_still, list_inputs
from venhancer_jax.video.timing import FrameTimes, constant_times
from venhancer_jax.video.writing.write import VideoWriter

__all__ = [
    "VIDEO_SUFFIXES",
    "FrameTimes",
    "VideoInfo",
    "VideoWriter",
    "check_prompts",
    "constant_times",
    "crop_bars",
    "first_frame",
    "is_still",
    "is_video",
    "list_inputs",
    "list_videos",
    "probe",
    "prompt_for",
    "read_frames",
]
