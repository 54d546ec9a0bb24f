"""Files and folders are whole whenever a process is killed, on a disk and in an object store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import Timeout

from venhancer_jax.files import (
    atomic_file,
    atomic_folder,
    atomic_write,
    lock_for,
    recover,
    remove_stale,
)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def fill(folder, word: str) -> None:
    (folder / "inner").mkdir()
    for i in range(3):
        (folder / "inner" / f"{i}.txt").write_text(f"{word} {i}")


def replace(folder: Path, word: str) -> None:
    with atomic_folder(folder) as partial:
        fill(partial, word)


def whole(word: str) -> dict[str, str]:
    return {f"inner/{i}.txt": f"{word} {i}" for i in range(3)}


def test_write(tmp_path: Path):
    atomic_write(tmp_path / "a.txt", "gr\u00fcn")
    assert (tmp_path / "a.txt").read_bytes() == "gr\u00fcn".encode()
    atomic_write(tmp_path / "a.txt", b"\x00\xff")
    assert (tmp_path / "a.txt").read_bytes() == b"\x00\xff"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException]):
    atomic_write(tmp_path / "file", "older")
    replace(tmp_path / "folder", "older")
    with pytest.raises(error), atomic_file(tmp_path / "file") as partial:
        partial.write_text("half")
        raise error
    with pytest.raises(error), atomic_folder(tmp_path / "folder") as partial:
        fill(partial, "half")
        raise error
    assert (tmp_path / "file").read_text() == "older"
    assert contents(tmp_path / "folder") == whole("older")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_two_writers_share_no_partial(tmp_path: Path):
    with atomic_file(tmp_path / "a") as first, atomic_file(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"  # the last to end
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_is_hidden_until_it_is_whole(tmp_path: Path):
    with atomic_folder(tmp_path / "a") as partial:
        assert partial.name.startswith(".") and not (tmp_path / "a").exists()
        fill(partial, "new")
    assert contents(tmp_path / "a") == whole("new")
    replace(tmp_path / "a", "newer")
    assert contents(tmp_path / "a") == whole("newer")
    assert os.listdir(tmp_path) == ["a"]


# Kills a process that replaces a folder at its first, second, ... access to the file system, each
# time from the state before, and prints what `recover` finds then.
KILL = """
import json, os, sys
from pathlib import Path
import fsspec
from etils import epath
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from test_files import contents, replace
from venhancer_jax.files import recover

root, remote = Path(sys.argv[1]), sys.argv[2] == "remote"
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "shutil.move"}


class Bucket(DirFileSystem):
    protocol = ("gs", "gcs")

    def __init__(self, **_):
        super().__init__(str(root), LocalFileSystem())

    def _join(self, path):
        return super()._join(self._strip_protocol(path))

    def rename(self, path, target, recursive=False):  # of a folder: file by file
        if not self.isdir(path):
            return super().mv(path, target)
        self.copy(path, target, recursive=True)
        self.rm(path, recursive=True)


fsspec.register_implementation("gcs", Bucket, clobber=True)
found = []
for moment in range(1, 1000):
    base = root / str(moment)
    base.mkdir()
    target = epath.Path(f"gs://{moment}/folder") if remote else base / "folder"
    replace(target, "older")
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event, arguments):
            global count
            count += event in EVENTS and str(base) in str(arguments)
            if count == moment:
                os._exit(9)

        sys.addaudithook(hook)
        replace(target, "newer")
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    recover(target)
    found.append(contents(base / "folder"))
    replace(target, "newest")
    assert contents(base / "folder")["inner/0.txt"] == "newest 0"
    assert os.listdir(base) == ["folder"], moment
    if ended == 0:
        break
print(json.dumps(found))
"""


@pytest.mark.parametrize("place", ["local", "remote"])
def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path, place: str):
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path), place],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 10
    newer = [state == whole("newer") for state in found]
    assert all(state in (whole("older"), whole("newer")) for state in found)
    # First always the older one, then always the newer one.
    assert newer == sorted(newer) and not newer[0] and newer[-1]


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path):
    target = tmp_path / "a.mp4"
    with atomic_file(target) as partial:
        partial.touch()
    atomic_write(target, "older")
    ended = subprocess.Popen(["true"])
    ended.wait()
    stale = partial.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-")
    # Of a running process, of another target, and of another machine.
    kept = [partial.name, stale.replace("a.mp4", "b.mp4"), f".a.mp4.00000000{stale[15:]}"]
    for name in [stale, *kept]:
        (tmp_path / name).touch()
    (tmp_path / f"{stale[:-5]}0.part").mkdir()
    (tmp_path / f"{stale[:-5]}0.part" / "000001.png").touch()

    remove_stale(target)

    assert set(os.listdir(tmp_path)) == {"a.mp4", *kept}
    assert target.read_text() == "older"


def test_lock(tmp_path: Path):
    with lock_for(tmp_path / "a"), lock_for(tmp_path / "b"):
        with pytest.raises(Timeout):
            lock_for(tmp_path / "sub" / ".." / "a").acquire(blocking=False)
        assert os.listdir(tmp_path) == []
    with lock_for(tmp_path / "a").acquire(blocking=False):
        pass


def test_recover_without_need_changes_nothing(tmp_path: Path):
    recover(tmp_path / "absent")
    replace(tmp_path / "a", "older")
    recover(tmp_path / "a")
    assert contents(tmp_path / "a") == whole("older")
