"""Facts before a run, and the time left during it."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipelines.tiny_system import clip, tiny_system
from pipelines.toy_system import Toy
from video.video_clips import make_video

from venhancer_jax.pipelines import programs, progress
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.facts import count_segments, segment_frames
from venhancer_jax.pipelines.jobs import check_jobs
from venhancer_jax.pipelines.progress import RunProgress
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.pipelines.run import run_jobs
from venhancer_jax.pipelines.segments import SegmentSizes, TimedFrame, cut_into_segments
from venhancer_jax.pipelines.spilled import StoredFrames
from venhancer_jax.pipelines.step_cache import StepCache
from venhancer_jax.pipelines.venhancer import plan


@pytest.mark.parametrize("windows", [0, 1, 2, 5])
@pytest.mark.parametrize("overlap", [1, 3])
def test_segments_are_counted_as_they_are_cut(windows: int, overlap: int):
    sizes = SegmentSizes(window=7, overlap=overlap, windows=windows)
    pixels = np.zeros((1, 1, 3))
    for frames in range(1, 40):
        timed = (TimedFrame(pixels, i, i + 1) for i in range(frames))
        lengths = [len([*segment.pixels()]) for segment in cut_into_segments(timed, sizes)]
        assert count_segments(sizes, frames) == len(lengths)
        assert segment_frames(sizes, frames) == lengths[0]


def test_the_time_left_is_measured_after_the_first_segment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    now = 0.0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    with RunProgress(100, finished=20) as run:
        assert run.seconds_left(now) is None
        run.update("denoise", 1, 3)
        now = 100.0
        run.finish_segment(20)  # with compilation
        assert run.seconds_left(now) is None
        now = 110.0
        run.finish_segment(20)
        assert run.seconds_left(now) == pytest.approx(20.0)
        now = 120.0
        run.finish_segment(40)
    assert capsys.readouterr().out.splitlines() == [
        "40 of 100 frames (40%), about 05:00 left",
        "60 of 100 frames (60%), about 00:20 left",
        "100 of 100 frames (100%)",
    ]


def test_the_bar_counts_frames_of_all_segments(monkeypatch: pytest.MonkeyPatch):
    run = RunProgress(30, finished=10)
    shown = []
    monkeypatch.setattr(run._bar, "update", lambda n: setattr(run._bar, "n", run._bar.n + n))
    with run:
        for stage, done, total in [
            ("encode", 4, None), ("denoise", 1, 2), ("decode", 5, 10), ("decode", 10, 10),
            ("denoise", 2, 2), ("decode", 3, 10), ("decode", 10, 10),
        ]:  # fmt: skip
            run.update(stage, done, total)
            shown.append(run._bar.n)
    assert shown == [10, 10, 15, 20, 20, 23, 30]


def test_stages_are_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with RunProgress(30) as run:
        run.update("decode", 10, 10)
        run.finish_segment(10)
        for step in range(3):
            run.update("denoise", step + 1, 3)
        assert "denoise 3/3" in terminal.getvalue() and "10/30" in terminal.getvalue()


def test_a_file_whose_windows_are_all_joined_keeps_latents_in_its_job_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    folders, original = [], StoredFrames.__init__

    def stored(self: StoredFrames, folder: Path, *arguments: Any) -> None:
        folders.append(str(folder))
        original(self, folder, *arguments)

    def denoise(*arguments: Any) -> tuple[Any, StepCache]:  # compiles in no time
        return 0.9 * arguments[3], StepCache()

    monkeypatch.setattr(StoredFrames, "__init__", stored)
    monkeypatch.setattr(programs, "denoise", denoise)
    monkeypatch.chdir(tmp_path)
    make_video(Path("in.mp4"), clip(7), rate=Fraction(12))
    config = enhancement_config("venhancer")
    config.update({"input": "in.mp4", "window": 4, "segment_windows": 0, "guidance_scale": 1.0})
    config.update({"up_scale": 1.0, "steps": 2, "solver_mode": "normal", "solver": "ddim"})
    fact = "  latents   of a scene wait on the disk, in that folder, between steps"
    for name, limit in (("memory.mp4", 2**30), ("disk.mp4", 0)):
        folders.clear()
        config.output = name
        monkeypatch.setattr(plan, "MOST_IN_MEMORY", limit)
        jobs, _ = check_jobs(config)
        assert not run_jobs(tiny_system(), jobs, {})
        assert set(folders) == {f"{name}.job"}
        assert (fact in capsys.readouterr().out.splitlines()) == (limit == 0)
    assert Path("disk.mp4").read_bytes() == Path("memory.mp4").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "memory.mp4", "disk.mp4"}


def test_facts_are_printed_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    make_video(Path("in.mp4"), clip(6), rate=Fraction(12))
    config = enhancement_config("toy")
    config.update({"input": "in.mp4", "output": "out.mp4", "window": 2, "segment_windows": 3})
    config.up_scale = 1.0
    jobs, _ = check_jobs(config)
    assert not run_jobs(Toy(None), jobs, {})
    assert capsys.readouterr().out.splitlines()[:7] == [
        "in.mp4 -> out.mp4",
        "  input     32x24, 6 frames, 12 per second, prompt 'a good video'",
        "  output    32x24, 6 frames, 12 per second, 0.5 s",
        "  work      32x24, 1 window of up to 4 frames in a segment",
        "  segments  2 of up to 4 input frames; more where scenes change",
        "  progress  is kept in out.mp4.job; an interrupted run resumes",
        "3 of 6 frames (50%), about 00:00 left",
    ]
