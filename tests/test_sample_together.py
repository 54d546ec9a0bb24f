"""`sample.py` as two processes: one video, written once, as a single process writes it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from venhancer_jax.video import probe, read_frames

ROOT = Path(__file__).parents[1]


def sample(output: Path, *settings: str, devices: int = 1) -> subprocess.Popen:
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    settings = (f"--config.output={output}", "--config.max_frames=2", *settings)
    command = [sys.executable, "sample.py", "--config.up_scale=2.0", *settings]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.slow
def test_two_processes_write_one_video(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    together = [
        sample(
            tmp_path / "two.mp4",
            f"--config.coordinator={address}",
            "--config.process_count=2",
            f"--config.process_id={i}",
            devices=2,
        )
        for i in range(2)
    ]
    first, second = (process.communicate(timeout=300)[0] for process in together)
    alone = sample(tmp_path / "one.mp4")
    alone.communicate(timeout=300)
    assert [p.returncode for p in (*together, alone)] == [0, 0, 0], first + second
    assert "wrote" in first
    assert "wrote" not in second
    one, two = (
        np.stack([*read_frames(probe(tmp_path / name))]).astype(int)
        for name in ("one.mp4", "two.mp4")
    )
    assert one.shape == two.shape == (4, 144, 256, 3)
    assert np.abs(one - two).mean() < 0.1
