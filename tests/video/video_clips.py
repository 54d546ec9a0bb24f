"""Clips of tests, which are those of the benchmarks."""

from benchmarks.media.inputs import copy_video, level_frames, make_video, number_of, tone

__all__ = ["copy_video", "level_frames", "make_video", "number_of", "tone"]
