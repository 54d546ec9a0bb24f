"""Kills lose no finished result, and two writers of one video never meet in one file."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video.video_clips import level_frames, number_of

from venhancer_jax.errors import InputError
from venhancer_jax.video import VideoWriter, probe, read_frames


def _writer(path: Path) -> VideoWriter:
    codec = "h264" if path.suffix else "png"
    return VideoWriter(path, width=64, height=48, rate=Fraction(24), codec=codec)


def _numbers(path: Path) -> list[int]:
    files = [path] if path.is_file() else sorted(path.iterdir())
    return [number_of(frame) for file in files for frame in read_frames(file)]


# Replaces a folder of images of level 0 by images of level 1 and is killed at its first, second,
# ... change of names; then a run begins that fails. Prints the levels found in the end.
KILL = """
import os, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from venhancer_jax.video import VideoWriter, read_frames

def write(path, level, fail=False):
    with VideoWriter(path, width=16, height=16, rate=Fraction(24), codec="png") as writer:
        for _ in range(2):
            writer.write(np.full((16, 16, 3), level, np.uint8))
        if fail:
            raise RuntimeError

for moment in range(1, 100):
    base = Path(sys.argv[1]) / str(moment)
    base.mkdir()
    path = base / "frames"
    write(path, 0)
    child = os.fork()
    if child == 0:
        count = 0
        def hook(event, arguments):
            global count
            if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
                count += str(base) in str(arguments)
                if count == moment:
                    os._exit(9)
        sys.addaudithook(hook)
        write(path, 1)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    try:
        write(path, 2, fail=True)
    except RuntimeError:
        pass
    left = sorted(path.iterdir()) if path.exists() else []
    levels = {int(next(read_frames(image)).mean()) for image in left}
    print(len(left), *levels, *(set(os.listdir(base)) - {"frames"}))
    if not killed:
        break
"""


def test_a_kill_between_renames_loses_no_result(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    found = done.stdout.splitlines()
    # Two images of the older run, and later of the newer one, and nothing beside them.
    assert len(found) > 3 and found == sorted(found)
    assert set(found) == {"2 0", "2 1"}, found


@pytest.mark.parametrize("name", ["a.mp4", "frames"])
def test_a_second_writer_of_one_video_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with _writer(path) as first:
        first.write(level_frames(1)[0])
        with pytest.raises(InputError, match=r"another run is writing this output"), _writer(path):
            pass
        with _writer(tmp_path / f"other_{name}") as other:
            other.write(level_frames(2)[1])
        first.write(level_frames(2)[1])
    assert _numbers(path) == [0, 1]
    assert _numbers(tmp_path / f"other_{name}") == [1]
    with _writer(path) as third:
        third.write(level_frames(3)[2])
    assert _numbers(path) == [2]
    assert len(os.listdir(tmp_path)) == 2


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    script = (
        "import os, sys, numpy as np; from fractions import Fraction;"
        "from venhancer_jax.video import VideoWriter;"
        "writer = VideoWriter(sys.argv[1], width=16, height=16, rate=Fraction(24));"
        "writer.__enter__().write(np.zeros((16, 16, 3), np.uint8)); os._exit(9)"
    )
    path = tmp_path / "a.mp4"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, str(path)], check=False, env=environment)
    assert len(os.listdir(tmp_path)) == 1 and not path.exists()
    with _writer(path) as writer:
        for frame in np.array(level_frames(2)):
            writer.write(frame)
    assert os.listdir(tmp_path) == ["a.mp4"] and probe(path).frames == 2
