"""Runs that share a folder: each video is done once, whoever dies."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import filelock._soft
import pytest
from pipelines.tiny_system import clip
from pipelines.toy_system import Toy
from video.video_clips import make_video

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import claims, run
from venhancer_jax.pipelines.claims import Claim, ClaimedError
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.job_folder import JobFolder
from venhancer_jax.pipelines.jobs import check_jobs
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.pipelines.run import Problem, run_jobs

DIE_WITH_CLAIM = """
import os, sys
from filelock import SoftFileLease
lease = SoftFileLease(sys.argv[1], lease_duration=60.0)
lease.acquire()
os._exit(9)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Works in a folder with three videos; runs look at each other's videos often."""
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.setattr(run, "_SHARE_POLL", 0.02)
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for i in range(3):
        make_video(Path(f"in/{i}.mp4"), clip(3))
    return tmp_path


def enhance(output: str, **values) -> list[Problem]:
    config = enhancement_config("toy")
    chosen = {"input": "in", "output": output, "window": 2, "segment_windows": 1, "up_scale": 1.0}
    config.update(chosen | values)
    jobs, _ = check_jobs(config)
    return run_jobs(Toy(None), jobs, {})


def outputs(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def outputs_below(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())


def wrote(capsys: pytest.CaptureFixture) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    return sorted(line.split()[1] for line in lines if line.startswith("wrote "))


def leave_dead_claim(target: str) -> None:
    path = Path(target).with_name(f".{Path(target).name}.claim")
    path.parent.mkdir(exist_ok=True)
    assert subprocess.run([sys.executable, "-c", DIE_WITH_CLAIM, path]).returncode == 9


def test_each_video_is_done_once(capsys: pytest.CaptureFixture):
    assert not enhance("alone")
    expected = outputs("alone")
    assert len(wrote(capsys)) == 3
    done: list[tuple[str, list[Problem]]] = []
    start = threading.Barrier(2)

    def work(name: str) -> None:
        start.wait()
        done.append((name, enhance("shared", share=True, delay=0.02)))

    threads = [threading.Thread(target=work, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [("a", []), ("b", [])]
    assert wrote(capsys) == ["shared/0.mp4", "shared/1.mp4", "shared/2.mp4"]
    assert outputs("shared") == expected  # no claim and no job folder is left


def test_the_claim_of_a_dead_run_is_taken_over(capsys: pytest.CaptureFixture):
    leave_dead_claim("out/1.mp4")
    assert not enhance("out", share=True)
    assert wrote(capsys) == ["out/0.mp4", "out/1.mp4", "out/2.mp4"]
    assert sorted(outputs("out")) == ["0.mp4", "1.mp4", "2.mp4"]


def test_a_claimed_video_comes_last(capsys: pytest.CaptureFixture):
    with Claim(Path("out/0.mp4")).held(wait=0):
        thread = threading.Thread(target=enhance, args=["out"], kwargs={"share": True})
        thread.start()
        while not Path("out/2.mp4").exists():
            thread.join(0.01)
        assert not Path("out/0.mp4").exists()
    thread.join()
    printed = capsys.readouterr().out
    assert "waiting for 1 videos" in printed
    assert printed.rindex("wrote out/0.mp4") > printed.index("wrote out/2.mp4")


def test_what_is_finished_is_skipped_and_what_is_interrupted_resumes(
    capsys: pytest.CaptureFixture,
):
    assert not enhance("out")
    capsys.readouterr()
    expected = outputs("out")
    Path("out/0.mp4").write_bytes(b"an older result")
    job = JobFolder(Path("out/2.mp4"), {}, ".mp4")  # it ended before the folder was removed
    job.path.mkdir()
    assert not enhance("out", share=True)
    assert wrote(capsys) == []
    assert not job.path.exists()
    assert outputs("out") == expected | {"0.mp4": b"an older result"}
    Path("out/0.mp4.job").mkdir()
    Path("out/0.mp4.job/manifest.json").write_text("{")
    assert not enhance("out", share=True)
    assert wrote(capsys) == ["out/0.mp4"]
    assert outputs("out") == expected


def test_without_sharing_a_claim_is_an_error_and_an_output_is_replaced(
    capsys: pytest.CaptureFixture,
):
    Path("out").mkdir()
    Path("out/1.mp4").write_bytes(b"older")
    with Claim(Path("out/0.mp4")).held(wait=0):
        (problem,) = enhance("out")
    assert problem.exit_code == 2 and "another run is writing this output" in problem.message
    assert wrote(capsys) == ["out/1.mp4", "out/2.mp4"]
    with pytest.raises(InputError, match="restart=True discards what runs that share"):
        enhance("out", share=True, restart=True)


def test_a_run_that_slept_gives_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.15)
    with Claim(Path("out.mp4")).held(wait=0) as claim:
        claim.check()
        Path(".out.mp4.claim").unlink()
        Path(".out.mp4.claim").write_text("another run")
        waited = threading.Event()
        while not claim.is_lost:
            waited.wait(0.02)
        with pytest.raises(ClaimedError, match="another run has taken over"):
            claim.check()
    assert Path(".out.mp4.claim").read_text() == "another run"


def test_a_run_that_slept_writes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Claim, "is_lost", True)
    problems = enhance("out/0.mp4", input="in/0.mp4")
    assert [problem.exit_code for problem in problems] == [2]
    assert "another run has taken over" in problems[0].message
    # Nothing is finished, nothing of the other run is removed.
    assert outputs_below("out") == ["out/0.mp4.job/manifest.json"]


def test_a_dead_run_of_another_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.1)
    # As on NFS, where names cannot be swapped.
    monkeypatch.setattr(filelock._soft, "exchange_names", lambda *names: False)
    dead, other = Claim(Path("out.mp4")), Claim(Path("out.mp4"))
    with dead.held(wait=0):
        for _ in range(20):
            with pytest.raises(ClaimedError), other.held(wait=0.02):
                pass  # its heartbeat keeps it
        dead._lease._stop_heartbeat()
        for _ in range(100):
            try:
                with other.held(wait=0.02):
                    break
            except ClaimedError:
                continue
        else:
            pytest.fail("it is never taken over")
    assert os.listdir() == ["in"]
