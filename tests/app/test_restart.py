"""A server that is killed in the middle of a job, and the one after it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="needs Gradio: pip install 'venhancer-jax[app]'")

from app.conftest import TOY
from app.http_calls import call, get

from venhancer_jax.cli import sample

TESTS = Path(__file__).parents[1]


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def serve(work: Path) -> Iterator[Callable[[], tuple[subprocess.Popen, str]]]:
    processes = []

    def start() -> tuple[subprocess.Popen, str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "venhancer_jax.app", TOY, f"--folder={work}"]
        process = subprocess.Popen(
            [*command, f"--port={port}"],
            cwd=TESTS.parent,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
        )
        processes.append(process)
        address = f"http://127.0.0.1:{port}/"

        def answers() -> bool:
            assert process.poll() is None
            try:
                return bool(get(f"{address}config"))
            except OSError:
                return False

        wait(answers)
        return process, address

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_server_loses_nothing(number: int, serve: Callable, work: Path, toy: list[str]):
    first, address = serve()
    values = {"setting-input": "in.mp4", "setting-output": "out.mp4", "setting-delay": 0.5}
    (_, message) = call(address, "run.click", values, "a")["data"]
    assert message == ""
    wait(lambda: len([*work.glob("out.mp4.job/*.mp4")]) > 1)
    first.send_signal(number)
    assert first.wait(10) != 0
    finished = {path: path.stat().st_ino for path in work.glob("out.mp4.job/*.mp4")}

    _, address = serve()
    call(address, "again.click", {}, "b")
    wait(lambda: len([*work.glob("out.mp4.job/*.mp4")]) > len(finished))
    assert all(path.stat().st_ino == number for path, number in finished.items())
    wait((work / "out.mp4").exists)
    arguments = [*toy, f"--config.input={work / 'in.mp4'}", f"--config.output={work / 'cli.mp4'}"]
    assert sample.main(arguments) == 0
    assert (work / "out.mp4").read_bytes() == (work / "cli.mp4").read_bytes()
