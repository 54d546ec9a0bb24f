"""The queue: order, cancelling, resuming, failures, and what a restart finds."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from venhancer_jax.app.files import Folders
from venhancer_jax.app.jobs import ACTIVE, Job, JobQueue, State
from venhancer_jax.app.request import make_requests
from venhancer_jax.app.status import job_html, others_html
from venhancer_jax.cli import sample
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.claims import Claim

SLOW = {"delay": 0.08}
Submit = Callable[..., Job]


@pytest.fixture
def queue(work: Path, toy: list[str]) -> Iterator[JobQueue]:
    queue = JobQueue(Folders(work))
    yield queue
    queue.close()


@pytest.fixture
def submit(queue: JobQueue, work: Path, toy: list[str]) -> Submit:
    def submit(output: str = "out.mp4", preview: bool = False, **values: Any) -> Job:
        values = {"input": "in.mp4", "output": output} | values
        (request,), _ = make_requests(Folders(work), toy, values, preview=preview)
        return queue.submit(request)

    return submit


def wait(job: Job, until: Callable[[], bool] | None = None, seconds: float = 20) -> Job:
    until = until or (lambda: job.state not in ACTIVE)
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, (job.state, job.stage, job.message)
        time.sleep(0.005)
    return job


def test_a_result_is_that_of_the_command_line(submit: Submit, queue: JobQueue, work: Path):
    job = wait(submit(seed=3))
    assert (job.state, job.message) == (State.DONE, "")
    result = (work / "out.mp4").read_bytes()
    (work / "out.mp4").unlink()
    # The command that the page shows.
    assert sample.main(job.request.arguments) == 0
    assert (work / "out.mp4").read_bytes() == result
    assert (job.done, job.frames) == (11, 11)
    wait(submit(seed=4))
    assert queue.model.loads == 1


def test_cancelled_and_resumed(submit: Submit, queue: JobQueue, work: Path):
    whole = wait(submit("whole.mp4"))
    job = submit("out.mp4", **SLOW)
    wait(job, lambda: job.done > 4)
    assert job.seconds_left is not None and 0 < job.seconds_left < 60
    queue.cancel(job)
    asked = time.monotonic()
    assert job.state in (State.CANCELLING, State.CANCELLED)
    wait(job)
    assert job.state == State.CANCELLED and time.monotonic() - asked < 2
    finished = sorted(path.name for path in work.glob("out.mp4.job/*.mp4"))
    assert finished and not (work / "out.mp4").exists()
    queue.again(job)
    first = wait(job, lambda: job.frames > 0)
    assert first.done >= 2
    wait(job)
    assert job.state == State.DONE
    assert (work / "out.mp4").read_bytes() == whole.request.target.read_bytes()
    assert not (work / "out.mp4.job").exists()


def test_one_at_a_time_in_order_and_one_that_fails_stops_no_other(
    submit: Submit, queue: JobQueue, work: Path
):
    first = submit("a.mp4", **SLOW)
    wait(first, lambda: first.state == State.RUNNING)
    (work / "gone.mp4").write_bytes((work / "in.mp4").read_bytes())
    second = submit("b.mp4", input="gone.mp4")
    third, dropped = submit("c.mp4"), submit("d.mp4")
    (work / "gone.mp4").unlink()
    assert [queue.position(job) for job in (first, second, third, dropped)] == [0, 1, 2, 3]
    assert "position 3 in the queue" in job_html(queue, third)
    assert "b.mp4: waiting, position 2" in others_html(queue, third)
    queue.cancel(dropped)
    assert dropped.state == State.CANCELLED
    with pytest.raises(InputError, match=r"a\.mp4 is running already"):
        submit("a.mp4", **SLOW)
    with pytest.raises(InputError, match=r"c\.mp4 is waiting already"):
        submit("c.mp4")
    wait(third)
    assert [job.state for job in (first, second, third)] == [
        State.DONE, State.FAILED, State.DONE
    ]  # fmt: skip
    assert "no such file" in job_html(queue, second) and "Traceback" not in second.message
    assert not (work / "d.mp4").exists()


def test_a_new_server_lists_and_resumes_what_is_unfinished(
    submit: Submit, queue: JobQueue, work: Path, toy: list[str]
):
    job = submit("out.mp4", **SLOW)
    waiting = submit("later.mp4")
    wait(job, lambda: len([*work.glob("out.mp4.job/*.mp4")]) > 1)
    queue.close()
    (work / ".app" / "jobs" / "0.json").write_text("{damaged")
    after = JobQueue(Folders(work))
    try:
        assert [(j.id, j.state) for j in after.jobs] == [
            (job.id, State.UNFINISHED), (waiting.id, State.UNFINISHED)
        ]  # fmt: skip
        found = after.jobs[0]
        assert "resumes" in job_html(after, found)
        with pytest.raises(InputError, match="unfinished with other settings"):
            after.submit(make_requests(Folders(work), toy, {"input": "in.mp4", "output": "out.mp4"})[0][0])  # fmt: skip  # noqa: E501
        finished = {p: p.stat().st_ino for p in work.glob("out.mp4.job/*.mp4")}
        after.again(found)
        wait(found, lambda: found.frames > 0)
        assert all(p.stat().st_ino == n for p, n in finished.items() if p.exists())
        wait(found)
        assert found.state == State.DONE and (work / "out.mp4").exists()
        after.discard(after.jobs[0])
        assert not [*(work / ".app" / "jobs").glob(f"{waiting.id}*")]
    finally:
        after.close()
    assert [j.state for j in JobQueue(Folders(work)).jobs] == []


def test_discarded_and_begun_again(submit: Submit, queue: JobQueue, work: Path):
    job = submit("out.mp4", **SLOW)
    wait(job, lambda: len([*work.glob("out.mp4.job/*.mp4")]) > 0)
    queue.discard(job)
    assert job in queue.jobs  # while it runs it cannot be discarded
    queue.cancel(job)
    wait(job)
    with pytest.raises(InputError, match="unfinished with other settings"):
        submit("out.mp4", brightness=20)
    restarted = wait(submit("out.mp4", brightness=20, restart=True))
    assert restarted.state == State.DONE and queue.jobs == [restarted]
    queue.discard(restarted)
    assert (work / "out.mp4").exists() and queue.jobs == []


def test_what_another_run_resumed_is_not_discarded(submit: Submit, queue: JobQueue, work: Path):
    job = submit("out.mp4", **SLOW)
    wait(job, lambda: len([*work.glob("out.mp4.job/*.mp4")]) > 0)
    queue.cancel(job)
    wait(job)
    with Claim(work / "out.mp4").held(wait=1.0):
        with pytest.raises(InputError, match="another run is writing"):
            queue.discard(job)
        assert job in queue.jobs and [*work.glob("out.mp4.job/*.mp4")]
    queue.discard(job)
    assert queue.jobs == [] and not (work / "out.mp4.job").exists()


def test_a_preview_waits_in_the_queue_and_touches_no_result(
    submit: Submit, queue: JobQueue, work: Path
):
    job = submit("out.mp4", **SLOW)
    preview = submit("out.mp4", preview=True, **SLOW)
    assert queue.position(preview) == 1
    wait(preview)
    assert (job.state, preview.state) == (State.DONE, State.DONE)
    assert preview.preview is not None and preview.preview.video.exists()
    again = submit("other.mp4", preview=True, **SLOW)
    wait(again, lambda: again.state == State.RUNNING)
    queue.cancel(again)
    assert wait(again).state == State.CANCELLED
    assert not [*work.glob("other*")] and not [*work.glob(".preview*")]


def test_an_unexpected_error_is_no_traceback_for_the_reader(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    def fail(*args: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr("venhancer_jax.app.jobs.run_jobs", fail)
        job = wait(submit())
    assert job.state == State.FAILED and "defect" not in job.message
    assert "RuntimeError: a defect" in capfd.readouterr().err
    assert wait(submit("b.mp4")).state == State.DONE
