"""Runs that are interrupted, and folders that are damaged: the output is always the same bytes."""

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import toy_system
from pipelines.tiny_system import clip
from video.video_clips import make_video

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.job_folder import JobFolder
from venhancer_jax.pipelines.jobs import check_jobs
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.pipelines.run import enhance_file

WEIGHTS = {"weights of denoiser": "1234"}
OPTIONS = {"window": 4, "segment_windows": 1, "memory": 0.01, "cuts": "none"}
# Five segments of the toy: 4 frames, of which 2 are shared.
FRAMES, SEGMENTS = 11, 5
# Functions of `os` that change what is on the disk under a name.
CHANGES = ("fsync", "mkdir", "rename", "replace", "rmdir", "unlink", "link")
NO_PROCESS = 2**22 - 1
Broken = tuple[Path, bytes]


class Killed(BaseException):
    """The process is gone: nothing that it would do after this moment happens."""


def run(weights: dict[str, str] = WEIGHTS, **changes) -> Path:
    """Enhances a clip with the toy; returns the output."""
    config = enhancement_config("toy")
    for name, value in (OPTIONS | {"input": "in.mp4", "output": "out.mp4"} | changes).items():
        config[name] = value
    (job,), _ = check_jobs(config)
    toy: Any = toy_system.Toy(None)
    enhance_file(toy, job, weights)
    return job.target


@pytest.fixture
def enhance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Works in a folder with a clip; returns a function that enhances it."""
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    make_video(Path("in.mp4"), clip(FRAMES))
    return run


@pytest.fixture(scope="module")
def before_the_join(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    """A job folder of which only the join is left, and the output."""
    folder = tmp_path_factory.mktemp("job")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
        patch.chdir(folder)
        make_video(Path("in.mp4"), clip(FRAMES))
        whole = run().read_bytes()
        assert not Path("out.mp4.job").exists()
        patch.setattr("venhancer_jax.pipelines.run._join", _fail)
        with pytest.raises(Killed):
            run()
    assert len([*folder.glob("*.job/*.mp4")]) == SEGMENTS
    return folder / "out.mp4.job", whole


@pytest.fixture
def broken_off(enhance: Callable[..., Path], before_the_join: Broken) -> Broken:
    """Works in a folder with such a job."""
    del enhance
    return Path(shutil.copytree(before_the_join[0], "out.mp4.job")), before_the_join[1]


def _fail(*args) -> None:
    raise Killed


def computed(patch: pytest.MonkeyPatch) -> list[int]:
    """Lists the first frames of segments that are computed from here on."""
    firsts: list[int] = []
    original = toy_system.Toy.enhance_segment

    def counted(self, frames, *, place, **options):
        firsts.append(place.first)
        return original(self, frames, place=place, **options)

    patch.setattr(toy_system.Toy, "enhance_segment", counted)
    return firsts


@pytest.mark.parametrize(
    ("codec", "step"),
    [
        ("h264", 3),
        ("png", 7),
        pytest.param("h264", 1, marks=pytest.mark.slow),
        pytest.param("png", 1, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_change_of_the_disk(codec: str, step: int, enhance: Callable, tmp_path: Path):
    """Every time it is somewhere else, and the next run makes the same of it."""
    name = "out" if codec == "png" else "out.mp4"
    options = {"codec": codec, "output": name, "max_frames": 6}

    def contents(path: Path) -> list[tuple[str, bytes]]:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [(file.name, file.read_bytes()) for file in files]

    whole = contents(enhance(**options))
    for number in itertools.count(1, step):
        target = Path(name)
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            _kill_before(number, patch)
            try:
                enhance(**options)
                break
            except Killed:
                pass
            except InputError as error:
                raise AssertionError(f"change {number}") from error
        if target.exists():
            assert contents(target) == whole, number
        assert contents(enhance(**options)) == whole, number
        left = {path.name for path in tmp_path.iterdir()} - {"in.mp4", name}
        assert not left, (number, left)
    assert number > 20


def _kill_before(number: int, patch: pytest.MonkeyPatch) -> None:
    """Has the process killed before its n-th change of the disk."""
    done = 0

    def patched(change: Callable) -> Callable:
        def changed(*args, **options):
            nonlocal done
            done += 1
            if done >= number:
                raise Killed
            return change(*args, **options)

        return changed

    for name in CHANGES:
        patch.setattr(os, name, patched(getattr(os, name)))
    patch.setattr(os, "getpid", lambda: NO_PROCESS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"brightness": 11}, "brightness was '10', is '11'"),
        ({"quality": 0.5, "window": 6}, "quality was '0.75', is '0.5'; window was '4'"),
        ({"weights": {"weights of denoiser": "99"}}, "weights of denoiser was '1234', is '99'"),
    ],
    ids=["option", "two options", "weights"],
)
def test_other_settings_are_refused(
    changes: dict, message: str, enhance: Callable, broken_off: Broken
):
    folder, whole = broken_off
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"out\.mp4\.job holds finished parts of a run") as info:
        enhance(**changes)
    assert message in str(info.value) and "--config.restart=True" in str(info.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert enhance().read_bytes() == whole


def test_another_input_is_refused_and_restarts(enhance: Callable, broken_off: Broken):
    folder, whole = broken_off
    make_video(Path("in.mp4"), clip(FRAMES)[::-1])
    with pytest.raises(InputError, match="with other settings: input was '"):
        enhance()
    assert folder.exists()
    assert enhance(restart=True).read_bytes() != whole
    assert not folder.exists()


def test_the_same_content_under_another_name_resumes(
    enhance: Callable, broken_off: Broken, monkeypatch: pytest.MonkeyPatch
):
    _, whole = broken_off
    Path("in.mp4").rename("moved.mp4")
    firsts = computed(monkeypatch)
    assert enhance(input="moved.mp4").read_bytes() == whole
    assert not firsts


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _exchange(path: Path) -> None:
    other = path.with_name(path.name.replace("000002", "000003"))
    spare = path.with_name("spare")
    path.rename(spare)
    other.rename(path)
    spare.rename(other)


def _edit(path: Path) -> None:
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"tick": stored["tick"] + 1}))


@pytest.mark.parametrize(
    ("name", "damage", "expected"),
    [
        # The latents of the first segment are kept, so that the second is computed for its latents.
        ("000002.mp4", Path.unlink, [2, 4]),
        ("000002.mp4", lambda path: path.write_bytes(b""), [2, 4]),
        ("000002.mp4", _cut, [2, 4]),
        # A whole segment, but of another length.
        ("000002.mp4", lambda path: shutil.copy(path.with_name("000004.mp4"), path), [2, 4]),
        ("000002.json", Path.unlink, [2, 4]),
        ("000002.json", _cut, [2, 4]),
        ("000002.json", _edit, [2, 4]),
        ("000002.json", lambda path: path.write_text("[1]"), [2, 4]),
        ("000002.*", _exchange, [2, 4, 6]),
        ("0000*.npz", Path.unlink, []),
        ("manifest.json", Path.unlink, []),
        ("manifest.json", lambda path: path.write_text('{"format": 1}'), []),
        ("000002.mp4 0000*.npz", Path.unlink, [0, 2, 4]),
        ("000002.mp4 000000.npz", lambda path: path.write_bytes(b"none"), [0, 2, 4]),
        ("000000.mp4 000003.json", Path.unlink, [0, 2, 4, 6]),
    ],
)
def test_damaged_job_folders(
    name: str,
    damage: Callable[[Path], object],
    expected: list[int],
    enhance: Callable,
    broken_off: Broken,
    monkeypatch: pytest.MonkeyPatch,
):
    """What is lost is computed again, and no more than it needs."""
    folder, whole = broken_off
    damaged = [path for pattern in name.split() for path in sorted(folder.glob(pattern))]
    assert damaged
    for path in damaged:
        damage(path)
    firsts = computed(monkeypatch)
    assert enhance().read_bytes() == whole
    assert firsts == expected


def test_manifests_cut_anywhere(broken_off: Broken, monkeypatch: pytest.MonkeyPatch):
    """The power fails while it is written: the run resumes, and is not mistaken for another."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    manifest = broken_off[0] / "manifest.json"
    content = manifest.read_bytes()
    facts = json.loads(content)["facts"]
    for size in range(0, len(content), 3):
        manifest.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
            JobFolder(Path("out.mp4"), facts | {"quality": "0.1"}, ".mp4").open(restart=False)
        assert manifest.read_bytes() == content[:size]
        folder = JobFolder(Path("out.mp4"), facts, ".mp4")
        folder.open(restart=False)
        assert folder.finished == SEGMENTS and manifest.read_bytes() == content


def test_records_of_other_settings_do_not_count(broken_off: Broken):
    """As an interrupted removal may leave them."""
    manifest = broken_off[0] / "manifest.json"
    stored = json.loads(manifest.read_bytes())
    stored["facts"] |= {"quality": "0.1"}
    manifest.write_text(json.dumps(stored))
    folder = JobFolder(Path("out.mp4"), stored["facts"], ".mp4")
    folder.open(restart=False)
    assert not folder.finished


def test_records_cut_anywhere(broken_off: Broken, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    record = broken_off[0] / "000002.json"
    content = record.read_bytes()
    facts = json.loads((broken_off[0] / "manifest.json").read_bytes())["facts"]
    for size in range(0, len(content), 3):
        record.write_bytes(content[:size])
        folder = JobFolder(Path("out.mp4"), facts, ".mp4")
        folder.open(restart=False)
        assert not folder.is_finished(2) and folder.finished == SEGMENTS - 1


def test_nothing_is_left_of_a_run_that_fails_before_its_first_segment(
    enhance: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(toy_system.Toy, "enhance_segment", lambda *args, **options: _fail())
    with pytest.raises(Killed):
        enhance()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_latents_of_long_clips_take_no_room(enhance: Callable, monkeypatch: pytest.MonkeyPatch):
    make_video(Path("in.mp4"), clip(50))
    monkeypatch.setattr("venhancer_jax.pipelines.run._join", _fail)
    with pytest.raises(Killed):
        enhance()
    stored = sorted(path.stem for path in Path("out.mp4.job").glob("*.npz"))
    assert stored == ["000000", "000016"]
