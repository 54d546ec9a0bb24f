"""Checkpoints by path, hub id and URL; converted once."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from hanging import convert_and_hang
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors.numpy import save_file
from training import forked

from venhancer_jax.convert import clip, fetch
from venhancer_jax.convert.fetch import CheckpointFile, published, resolve, weights_of
from venhancer_jax.convert.hub import HubFile
from venhancer_jax.convert.hub import parse as hub_file
from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.errors import InputError
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.weights import is_weights, iterate_weights, read_about, save_weights

TEXT = ClipTextConfig.tiny(vocabulary=11, length=7, width=8, heads=2, layers=2)


def write(path: Path, value: float) -> Path:
    """A checkpoint of a text tower that is the same everywhere."""
    entries = layout_entries("text", TEXT, "open_clip")
    tensors = {n: np.full(e.their_shape, value, np.float32) for e in entries for n in e.theirs}
    save_file(tensors, path)
    return path


@pytest.fixture(autouse=True)
def conversions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was converted, at small sizes, into a cache of the test's own."""
    monkeypatch.setenv("VENHANCER_JAX_CACHE", str(tmp_path / "cache"))
    converted, convert = [], fetch.convert

    def small(network: str, source: Path, folder: Path, **options: Any) -> None:
        converted.append(source)
        convert(network, source, folder, **options | {"config": TEXT})

    monkeypatch.setattr(fetch, "convert", small)
    return converted


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str | None]]:
    """Repository, file and revision of each download."""
    asked = []

    def download(repo: str, file: str, *, revision: str | None = None) -> str:
        asked.append((repo, file, revision))
        return str(tmp_path / "downloaded.safetensors")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def value(folder: Path) -> float:
    (found,) = {float(v) for _, x in iterate_weights(folder) for v in np.unique(x)}
    return found


def test_a_checkpoint_is_converted_once(tmp_path: Path, conversions: list[Path]):
    source = write(tmp_path / "tower.safetensors", 3)
    folder = weights_of("text", str(source))
    assert value(folder) == 3
    assert folder.is_relative_to(tmp_path / "cache")
    assert folder.name.startswith("tower-")
    assert weights_of("text", str(source)) == folder
    assert conversions == [source]


def test_a_changed_checkpoint_is_converted_again(tmp_path: Path, conversions: list[Path]):
    source = write(tmp_path / "tower.safetensors", 3)
    first = weights_of("text", str(source))
    os.utime(write(source, 4), ns=(1, 1))  # of the same size
    second = weights_of("text", str(source))
    assert (value(first), value(second)) == (3, 4)
    assert len(conversions) == 2


def test_checkpoints_of_one_name_are_kept_apart(tmp_path: Path):
    folders = []
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        source = write(tmp_path / str(i) / "tower.safetensors", i)
        os.utime(source, ns=(1, 1))
        folders.append(weights_of("text", str(source)))
    assert [value(folder) for folder in folders] == [0, 1]


def test_a_broken_checkpoint_leaves_no_cache(tmp_path: Path):
    (tmp_path / "bad.pt").write_text("no checkpoint")
    with pytest.raises(InputError, match=r"bad.pt is not a whole PyTorch checkpoint"):
        weights_of("text", str(tmp_path / "bad.pt"))
    assert not list((tmp_path / "cache").rglob("bad*"))


def test_a_weight_folder_is_taken_as_it_is(tmp_path: Path, conversions: list[Path]):
    folder = tmp_path / "mine"
    save_weights(folder, {"a": np.ones(1, np.float32)}.items(), {"network": "text"})
    assert weights_of("text", str(folder)) == folder
    assert not conversions
    with pytest.raises(InputError, match="mine holds the weights of 'text', not of 'vae'"):
        weights_of("vae", str(folder))


def test_other_folders_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no converted weights: give the checkpoint file"):
        weights_of("text", str(tmp_path))


def test_a_file_of_that_name_goes_before_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: list
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.pt").touch()
    assert resolve("a/b/c.pt") == CheckpointFile(Path("a/b/c.pt"))
    assert not hub


@pytest.mark.parametrize(
    ("checkpoint", "asked"),
    [
        ("owner/repo/net.pt", ("owner/repo", "net.pt", None)),
        (
            "o-w.n/r_e.po/a/b/net.fp16.safetensors",
            ("o-w.n/r_e.po", "a/b/net.fp16.safetensors", None),
        ),
        ("https://huggingface.co/o/r/resolve/main/net.pt", ("o/r", "net.pt", "main")),
        ("https://huggingface.co/o/r/blob/v1.0/a/net.bin", ("o/r", "a/net.bin", "v1.0")),
        ("https://hf.co/o/r/resolve/main/net.pt?download=true", ("o/r", "net.pt", "main")),
        (
            "https://huggingface.co/o/r/resolve/refs%2Fpr%2F1/a%20b.pt",
            ("o/r", "a b.pt", "refs/pr/1"),
        ),
        ("venhancer_v2", ("jwhejwhe/VEnhancer", "venhancer_v2.pt", None)),
        (
            "svd_vae",
            (
                "stabilityai/stable-video-diffusion-img2vid",
                "vae/diffusion_pytorch_model.fp16.safetensors",
                None,
            ),
        ),
    ],
)
def test_names_on_the_hub(tmp_path: Path, hub: list, checkpoint: str, asked: tuple):
    assert resolve(checkpoint).path == tmp_path / "downloaded.safetensors"
    assert hub == [asked]


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("venhancer_v1", "jwhejwhe"),
        ("venhancer_v2", "jwhejwhe"),
        ("svd_vae", "stabilityai"),
        ("sd21_vae", "stabilityai"),
        ("openclip", "laion"),
    ],
)
def test_published_names_are_hub_files(hub: list, name: str, owner: str):
    resolve(name)
    file = published()[name]
    assert hub == [(file.repository, file.path, file.revision)]
    assert hub_file(str(file)) == file
    assert file.repository.startswith(f"{owner}/")


@pytest.mark.parametrize(
    "checkpoint",
    [
        "venhancer_v3",
        "weights.pt",
        "./owner/net.pt",
        "../owner/net.pt",
        "/nowhere/net.pt",
        "owner/repo/readme.txt",
        "https://example.com/o/r/resolve/main/net.pt",
        "https://huggingface.co/o/r",
    ],
)
def test_what_is_nowhere_is_refused(hub: list, checkpoint: str):
    with pytest.raises(InputError) as error:
        resolve(checkpoint)
    assert str(error.value).startswith(f"checkpoint {checkpoint!r}: no such file or folder")
    assert not hub


@pytest.mark.parametrize(
    "failure",
    [
        LocalEntryNotFoundError("cannot reach the hub\nat all"),
        ConnectionError("cannot reach the hub"),
        HFValidationError("cannot reach the hub"),
        RuntimeError("cannot reach the hub"),
    ],
)
def test_a_failed_download_tells_the_way_out(monkeypatch: pytest.MonkeyPatch, failure: Exception):
    def download(*args: Any, **kwargs: Any) -> str:
        raise failure

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(InputError) as error:
        resolve("owner/repo/a/net.pt")
    assert str(error.value) == (
        "could not download owner/repo/a/net.pt (cannot reach the hub).\nDownload"
        " https://huggingface.co/owner/repo/resolve/main/a/net.pt where there is a network, and"
        " give the file's path instead"
    )
    with pytest.raises(InputError, match=r"Download https://huggingface.co/o/r/resolve/v2/n.pt "):
        resolve("https://huggingface.co/o/r/blob/v2/n.pt")


@pytest.mark.parametrize("name", ["openclip", "https://hf.co/o/r/resolve/main/tower.bin"])
def test_a_download_is_converted(tmp_path: Path, hub: list, name: str):
    write(tmp_path / "downloaded.safetensors", 5)
    folder = weights_of("text", name)
    assert is_weights(folder)
    assert value(folder) == 5


COMMITS = ["1" * 40, "2" * 40]


@pytest.fixture
def snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Revisions asked of a hub whose default branch moves to a new commit with each download."""
    asked: list[str | None] = []

    def download(repo: str, file: str, *, revision: str | None = None) -> str:
        asked.append(revision)
        commit = revision if revision in COMMITS else COMMITS[len(asked) - 1]
        path = tmp_path / "hub" / "models--o--r" / "snapshots" / commit / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write(path, COMMITS.index(commit))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_the_commit_of_a_download_is_recorded_and_reported(
    snapshots: list, capsys: pytest.CaptureFixture[str]
):
    folder = weights_of("text", "o/r/tower.safetensors")
    assert read_about(folder)["origin"] == {
        "repository": "o/r",
        "path": "tower.safetensors",
        "revision": None,
        "commit": COMMITS[0],
    }
    assert f"tower.safetensors of o/r/tower.safetensors, commit {COMMITS[0]}" in (
        capsys.readouterr().out
    )


def test_a_later_run_uses_the_recorded_commit(
    snapshots: list, monkeypatch: pytest.MonkeyPatch, conversions: list[Path]
):
    folder = weights_of("text", "o/r/tower.safetensors")
    assert weights_of("text", "o/r/tower.safetensors") == folder
    assert snapshots == [None]  # nothing is downloaded for a cached conversion
    # New rules need the file again, which has changed on the default branch meanwhile.
    monkeypatch.setattr("venhancer_jax.__version__", "99")
    again = weights_of("text", "o/r/tower.safetensors")
    assert again != folder
    assert snapshots == [None, COMMITS[0]]
    assert value(again) == 0
    assert len(conversions) == 2


def test_a_requested_revision_is_kept_apart_from_the_recorded_one(snapshots: list):
    url = "https://huggingface.co/o/r/resolve/{}/tower.safetensors"
    assert value(weights_of("text", url.format(COMMITS[1]))) == 1
    assert value(weights_of("text", "o/r/tower.safetensors")) == 1
    assert value(weights_of("text", url.format(COMMITS[0]))) == 0
    assert snapshots == [COMMITS[1], None, COMMITS[0]]


def test_a_published_revision_is_asked_for(snapshots: list, monkeypatch: pytest.MonkeyPatch):
    pinned = HubFile("o/r", "tower.safetensors", COMMITS[1])
    monkeypatch.setattr(fetch, "all_published", lambda: {"tower": pinned})
    assert value(weights_of("text", "tower")) == 1
    assert snapshots == [COMMITS[1]]


def test_conversions_are_cached_by_version_and_rules(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
):
    source = write(tmp_path / "tower.safetensors", 3)
    folders = [weights_of("text", str(source))]
    monkeypatch.setattr("venhancer_jax.__version__", "99")
    folders.append(weights_of("text", str(source)))
    # A rule that is mended.
    monkeypatch.setitem(clip.OPEN_CLIP_BLOCK, "norm1", "ln_2")
    monkeypatch.setitem(clip.OPEN_CLIP_BLOCK, "norm2", "ln_1")
    folders.append(weights_of("text", str(source)))
    assert len(set(folders)) == len(conversions) == 3
    assert read_about(folders[1])["converter"]["version"] == "99"


def test_of_two_conversions_of_one_checkpoint_one_waits(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
):
    source = write(tmp_path / "tower.safetensors", 3)
    convert, started, proceed = fetch.convert, threading.Event(), threading.Event()

    def slow(*args: Any, **options: Any) -> None:
        started.set()
        assert proceed.wait(60)
        convert(*args, **options)

    monkeypatch.setattr(fetch, "convert", slow)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(weights_of, "text", str(source))
        assert started.wait(60)
        second = threads.submit(weights_of, "text", str(source))
        with pytest.raises(TimeoutError):
            second.result(0.3)
        proceed.set()
        assert first.result(60) == second.result(60)
    assert value(first.result()) == 3
    assert conversions == [source]


def test_a_conversion_whose_process_is_killed_is_redone(tmp_path: Path, conversions: list[Path]):
    source, mark = write(tmp_path / "tower.safetensors", 3), tmp_path / "mark"
    cache = Path(os.environ["VENHANCER_JAX_CACHE"])
    process = forked.start(tmp_path / "output.txt", convert_and_hang, source, mark, cache)
    with ThreadPoolExecutor(1) as threads:
        try:
            wait_for(mark.exists)
            waiting = threads.submit(weights_of, "text", str(source))
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
            assert not conversions  # another one waits
        finally:
            process.kill()
            process.join()
        folder = waiting.result(60)
    assert conversions == [source]
    assert value(folder) == 3
    left = [entry for entry in folder.parent.iterdir() if entry.suffix != ".lock"]
    assert left == [folder]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
