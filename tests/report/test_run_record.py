"""Time and memory of stages, and borders: recorded with segments, summed over runs."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
from pipelines.tiny_system import clip
from pipelines.toy_system import Toy
from video.video_clips import make_video

from venhancer_jax.pipelines import run as runs
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.jobs import check_jobs
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.pipelines.run import enhance_file
from venhancer_jax.pipelines.run_record import RunRecord
from venhancer_jax.pipelines.stages import Laps, StageMeter, sum_uses
from venhancer_jax.video.colour.layers import Passage


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A job of five segments."""
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    make_video(Path("in.mp4"), clip(11))
    config = enhancement_config("toy")
    config.update({"input": "in.mp4", "output": "out.mp4", "cuts": "none"})
    config.update({"window": 4, "segment_windows": 1, "delay": 0.01, "up_scale": 1.0})
    return check_jobs(config)[0][0]


def enhance(job: Any) -> RunRecord:
    records: list[RunRecord] = []

    def finished(of: Any, record: RunRecord) -> None:
        assert of is job
        assert job.target.exists()
        assert Path("out.mp4.job/manifest.json").exists()  # a page that is not written can be
        records.append(record)

    enhance_file(Toy(None), job, {}, finished=finished)  # pyright: ignore[reportArgumentType]
    return records[0]


def test_records_survive_a_resume(job: Any, monkeypatch: pytest.MonkeyPatch):
    whole = enhance(job)
    assert whole.resumed == 0
    assert whole.segments == (2, 4, 6, 8)
    assert not whole.scenes
    result = job.target.read_bytes()

    original, written = runs._write, []

    def breaks_off(*args):
        written.append(original(*args))
        if len(written) == 3:
            raise Killed
        return written[-1]

    monkeypatch.setattr(runs, "_write", breaks_off)
    with pytest.raises(Killed):
        enhance(job)
    written.extend([0] * 3)
    resumed = enhance(job)
    assert job.target.read_bytes() == result
    assert resumed.resumed == 1
    assert resumed.segments == whole.segments
    # Of the first run the frames of the segments that it finished, of the second the others.
    for stage in ("read", "denoise", "decode", "write"):
        assert resumed.stages[stage].seconds > 0
    assert resumed.stages["denoise"].seconds > 0.1
    assert resumed.seconds > 0.11
    assert resumed.stages["decode"].memory > 1e6
    assert RunRecord.from_dict(resumed.to_dict()) == resumed


def test_first_run_counts_in_the_second(job: Any, monkeypatch: pytest.MonkeyPatch):
    """All is finished but the join: the second run computes nothing."""

    def killed(*args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "_join", killed)
        with pytest.raises(Killed):
            enhance(job)
    record = enhance(job)
    assert record.stages["denoise"].seconds > 0.1
    assert record.resumed == 1


def test_frames_that_are_waited_for_are_not_written(job: Any, monkeypatch: pytest.MonkeyPatch):
    leave = Passage.leave

    def slow(*args):
        time.sleep(0.05)
        return leave(*args)

    monkeypatch.setattr(Passage, "leave", slow)
    stages = enhance(job).stages
    assert stages["decode"].seconds > 0.55
    assert stages["write"].seconds < 0.4


def test_report_can_be_requested_when_a_run_resumes(job: Any):
    files = dataclasses.replace(job.files, report=True)
    assert dataclasses.replace(job, files=files).facts() == job.facts()


def test_waiting_counts_for_no_stage():
    meter = StageMeter()
    laps = Laps(meter)

    def slow():
        for i in range(3):
            time.sleep(0.03)
            yield i

    for _ in laps.waiting(slow()):
        time.sleep(0.01)
        laps.finish("compute")
    reader = Laps(meter)
    for _ in reader.each("read", slow()):
        time.sleep(0.05)
    uses = sum_uses([meter.take()])
    assert 0.03 <= uses["compute"].seconds < 0.08
    assert 0.09 <= uses["read"].seconds < 0.14
    assert list(uses) == ["read", "compute"]
    assert meter.take() == {}


def test_sums_of_runs_are_of_times_and_the_larger_of_memories():
    first = {"decode": {"seconds": 1.0, "memory": 5, "device_memory": 1}}
    second = {"decode": {"seconds": 2.0, "memory": 3, "device_memory": 2}}
    use = sum_uses([first, second])["decode"]
    assert (use.seconds, use.memory, use.device_memory) == (3.0, 5, 2)
