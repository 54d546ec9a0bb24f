"""`sample.py` as two processes: one video, written once; and when one fails, both stop."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
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
    *settings: str, devices: int = 1, limit: Callable[[], None] | None = None
) -> subprocess.Popen:
    """Starts `sample.py`.

    Args:
      *settings: arguments.
      devices: number of CPU devices.
      limit: called in the process before it starts.
    """
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    return subprocess.Popen(
        [sys.executable, "sample.py", *settings],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=limit,
    )


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


def stopped(*processes: subprocess.Popen) -> list[str]:
    """Waits a minute for processes to stop; returns what they print."""
    try:
        return [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


def no_large_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


def test_when_one_cannot_write_both_stop(settings: list[str], tmp_path: Path):
    first, second = together()
    processes = [sample(*settings, *first, limit=no_large_files), sample(*settings, *second)]
    printed = stopped(*processes)
    assert [process.returncode == 0 for process in processes] == [False, False], printed
    assert processes[0].returncode == 2
    assert re.search(r"error: .*out: cannot write .*File too large", printed[0]), printed[0]
    assert "process 0 failed: all processes stop" in printed[0]
    assert not (tmp_path / "out").exists()


def test_when_one_has_wrong_input_both_stop(settings: list[str], tmp_path: Path):
    first, second = together()
    gone = f"--config.input={tmp_path / 'gone.mp4'}"
    processes = [sample(*settings, *first), sample(*settings, *second, gone)]
    printed = stopped(*processes)
    assert [process.returncode for process in processes] == [2, 2], printed
    assert all("gone.mp4: no such file" in text for text in printed)


@pytest.mark.slow
def test_when_the_processes_see_other_videos_both_stop(settings: list[str], tmp_path: Path):
    first, second = together()
    make_video(tmp_path / "other.mp4", [np.zeros((32, 32, 3), np.uint8)] * 2)
    other = f"--config.input={tmp_path / 'other.mp4'}"
    processes = [sample(*settings, *first), sample(*settings, *second, other)]
    printed = stopped(*processes)
    assert [process.returncode for process in processes] == [2, 2], printed
    assert all("the processes do not see the same videos" in text for text in printed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_when_one_is_stopped_by_a_signal_both_stop(settings: list[str], number: int):
    slow = [*settings, "--config.delay=10"]
    processes = [sample(*slow, *own) for own in together()]
    stream = processes[0].stdout
    assert stream is not None
    # The second frame is reached by both.
    while "1/3" not in (line := stream.readline()) and " to 3 frames" not in line:
        assert line
    time.sleep(15)
    processes[number].send_signal(signal.SIGTERM)
    printed = stopped(*processes)
    assert [process.returncode == 0 for process in processes] == [False, False], printed
    assert f"process {number} failed: all processes stop" in printed[number]


@pytest.mark.slow
def test_two_processes_write_one_video(tmp_path: Path):
    def enhance(name: str, *settings: str, devices: int = 1) -> subprocess.Popen:
        chosen = f"--config.output={tmp_path / name}", "--config.max_frames=2"
        return sample("--config.up_scale=2.0", *chosen, *settings, devices=devices)

    pair = [enhance("two.mp4", *own, devices=2) for own in together()]
    first, second = (process.communicate(timeout=300)[0] for process in pair)
    alone = enhance("one.mp4")
    alone.communicate(timeout=300)
    assert [p.returncode for p in (*pair, alone)] == [0, 0, 0], first + second
    assert "wrote" in first
    assert "wrote" not in second
    one, two = (
        np.stack([*read_frames(probe(tmp_path / name))]).astype(int)
        for name in ("one.mp4", "two.mp4")
    )
    assert one.shape == two.shape == (4, 144, 256, 3)
    assert np.abs(one - two).mean() < 0.1
