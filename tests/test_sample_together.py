"""`sample.py` as two processes: one video, written once; and when one fails, both stop."""

import os
import re
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
from training import forked
from video.video_clips import make_video

from venhancer_jax.video import probe, read_frames

ROOT = Path(__file__).parents[1]
# A system without networks, registered by its config; its frames wait for all processes.
CONFIG = """
import sys
sys.path.append(TESTS)
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.registry import SYSTEMS

SYSTEMS["toy"] = "pipelines.toy_system"

def get_config():
    config = enhancement_config("toy")
    config.codec = "png"
    return config.lock()
"""


def sample(
    output: Path, *settings: str, devices: int = 1, limit: Callable[[], None] | None = None
) -> ForkServerProcess:
    """Starts `sample.py`.

    Args:
      output: file for all that the process prints.
      *settings: arguments.
      devices: number of CPU devices.
      limit: called in the process before it starts.
    """
    return forked.start(output, run_sample, settings, limit, devices=devices)


def run_sample(settings: Sequence[str], limit: Callable[[], None] | None) -> None:
    """Runs `sample.py` in this process."""
    if limit:
        limit()
    forked.run_script(ROOT / "sample.py", settings)


def together() -> list[tuple[str, ...]]:
    """Returns the settings by which two processes find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    common = f"--config.coordinator={address}", "--config.process_count=2"
    return [(*common, f"--config.process_id={i}") for i in range(2)]


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    """Settings of an enhancement of three noisy frames by the toy, to PNG."""
    (tmp_path / "toy.py").write_text(CONFIG.replace("TESTS", repr(str(ROOT / "tests"))))
    noise = np.random.default_rng(0).integers(0, 255, (3, 128, 192, 3), np.uint8)
    make_video(tmp_path / "in.mp4", list(noise))
    return [
        f"--config={tmp_path / 'toy.py'}",
        f"--config.input={tmp_path / 'in.mp4'}",
        f"--config.output={tmp_path / 'out'}",
        # A process that cannot write would leave broken programs to all others.
        f"--config.compilation_cache={tmp_path / 'cache'}",
    ]


def stopped(*processes: ForkServerProcess) -> list[int | None]:
    """Waits a minute for processes to stop; returns their exit codes."""
    end = time.monotonic() + 60
    try:
        for process in processes:
            process.join(max(0, end - time.monotonic()))
        return [process.exitcode for process in processes]
    finally:
        for process in processes:
            process.kill()


def no_large_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, 2**14))


@pytest.fixture
def outputs(tmp_path: Path) -> list[Path]:
    """Files of all that each process prints."""
    return [tmp_path / f"output_{i}.txt" for i in range(2)]


def test_when_one_cannot_write_both_stop(settings: list[str], outputs: list[Path], tmp_path: Path):
    first, second = together()
    codes = stopped(
        sample(outputs[0], *settings, *first, limit=no_large_files),
        sample(outputs[1], *settings, *second),
    )
    printed = [output.read_text() for output in outputs]
    assert codes[0] == 2 and codes[1] not in (0, None), printed
    assert re.search(r"error: .*out: cannot write .*File too large", printed[0]), printed[0]
    assert "process 0 failed: all processes stop" in printed[0]
    assert not (tmp_path / "out").exists()


def test_when_one_has_wrong_input_both_stop(
    settings: list[str], outputs: list[Path], tmp_path: Path
):
    first, second = together()
    gone = f"--config.input={tmp_path / 'gone.mp4'}"
    codes = stopped(
        sample(outputs[0], *settings, *first), sample(outputs[1], *settings, *second, gone)
    )
    printed = [output.read_text() for output in outputs]
    assert codes == [2, 2], printed
    assert all("gone.mp4: no such file" in text for text in printed)


@pytest.mark.slow
def test_when_the_processes_see_other_videos_both_stop(
    settings: list[str], outputs: list[Path], tmp_path: Path
):
    first, second = together()
    make_video(tmp_path / "other.mp4", [np.zeros((32, 32, 3), np.uint8)] * 2)
    other = f"--config.input={tmp_path / 'other.mp4'}"
    codes = stopped(
        sample(outputs[0], *settings, *first), sample(outputs[1], *settings, *second, other)
    )
    printed = [output.read_text() for output in outputs]
    assert codes == [2, 2], printed
    assert all("the processes do not see the same videos" in text for text in printed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_signal_to_one_ends_both_and_both_resume(
    settings: list[str], outputs: list[Path], number: int, tmp_path: Path
):
    noise = np.random.default_rng(1).integers(0, 255, (12, 32, 48, 3), np.uint8)
    make_video(tmp_path / "in.mp4", list(noise))
    settings += ["--config.window=4", "--config.segment_windows=1", "--config.memory=0.1"]
    settings += ["--config.cuts=none", "--config.codec=h264"]
    target, job = tmp_path / "out.mp4", tmp_path / "out.mp4.job"
    settings.append(f"--config.output={target}")

    def start(*chosen: str) -> list[ForkServerProcess]:
        pairs = zip(outputs, together(), strict=True)
        return [sample(output, *settings, *chosen, *own) for output, own in pairs]

    assert stopped(*start()) == [0, 0]
    whole = target.read_bytes()
    target.unlink()
    processes = start("--config.delay=0.5")
    while not any(job.glob("[0-9]*.json")):
        assert processes[0].is_alive()
        time.sleep(0.05)
    pid = processes[number].pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    begun = time.monotonic()
    codes = stopped(*processes)
    seconds = time.monotonic() - begun
    printed = [output.read_text() for output in outputs]
    assert codes == [143, 143], printed
    assert seconds < 2
    assert all("interrupted: " in text and "Traceback" not in text for text in printed)
    assert not target.exists()
    # The delay is a setting too.
    assert stopped(*start("--config.delay=0.5")) == [0, 0]
    assert "resuming: " in outputs[0].read_text()
    assert target.read_bytes() == whole
    assert not job.exists()


@pytest.mark.slow
def test_two_processes_write_one_video(outputs: list[Path], tmp_path: Path):
    def enhance(output: Path, name: str, *settings: str, devices: int = 1) -> ForkServerProcess:
        chosen = f"--config.output={tmp_path / name}", "--config.max_frames=2"
        return sample(output, "--config.up_scale=2.0", *chosen, *settings, devices=devices)

    pair = {
        output: enhance(output, "two.mp4", *own, devices=2)
        for output, own in zip(outputs, together(), strict=True)
    }
    forked.finish(pair, timeout=300)
    alone = tmp_path / "alone.txt"
    forked.finish({alone: enhance(alone, "one.mp4")}, timeout=300)
    assert "wrote" in outputs[0].read_text()
    assert "wrote" not in outputs[1].read_text()
    one, two = (
        np.stack([*read_frames(probe(tmp_path / name))]).astype(int)
        for name in ("one.mp4", "two.mp4")
    )
    assert one.shape == two.shape == (4, 144, 256, 3)
    assert np.abs(one - two).mean() < 0.1
