"""Files that are no checkpoint: cut off, of another kind, or with code."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import TEXT, Tensors, checkpoint, save, torch, whole

from venhancer_jax.convert.read import open_state_dict
from venhancer_jax.errors import InputError


@pytest.fixture(scope="module")
def text() -> Tensors:
    return checkpoint("text", TEXT, "open_clip")


@pytest.mark.parametrize("name", ["bad.pt", "bad.safetensors"])
@pytest.mark.parametrize("share", [0.0005, 0.3, 0.99])
def test_truncated_files(tmp_path: Path, text: Tensors, name: str, share: float):
    path = tmp_path / name
    content = whole(path, text)
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=rf"{name} is (not a|truncated)"):
        open_state_dict(path)


def test_truncated_legacy_file(tmp_path: Path, text: Tensors):
    path = save(text, tmp_path / "bad.pt", _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"bad.pt is not a whole PyTorch checkpoint \(.*EOF"):
        open_state_dict(path)


@pytest.mark.parametrize(
    "content",
    [
        b"hello there, this is a text",
        b"<!DOCTYPE html><html>Sign in</html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
        pickle.dumps({"a": 1}),
        b"PK\x05\x06" + bytes(18),
        bytes(100),
    ],
)
@pytest.mark.parametrize("name", ["bad.pt", "bad.safetensors"])
def test_other_files(tmp_path: Path, content: bytes, name: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} is not a (whole PyTorch|safetensors)") as error:
        open_state_dict(tmp_path / name)
    assert "weights_only" not in str(error.value)  # no advice to run foreign code


@pytest.mark.parametrize(
    "header",
    [
        b"3",
        b'{"a": "b"}',
        b'{"a": {"dtype": "F32"}}',
        b'{"a": {"dtype": "F32", "shape": 3, "data_offsets": [0, 12]}}',
        b'{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0]}}',
        b"{" * 9,
    ],
)
def test_safetensors_with_a_bad_header(tmp_path: Path, header: bytes):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(12))
    with pytest.raises(InputError, match=r"bad.safetensors is not a safetensors file"):
        open_state_dict(path)


def test_safetensors_whose_offsets_do_not_fit_the_shape(tmp_path: Path):
    header = b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 12]}}'
    path = tmp_path / "bad.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(12))
    with pytest.raises(InputError, match=r"tensor a is no F32 \[2\]"):
        open_state_dict(path)["a"]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("legacy", [False, True])
def test_code_does_not_run(tmp_path: Path, legacy: bool):
    mark, path = tmp_path / "mark", tmp_path / "bomb.pt"
    torch.save(
        {"a": torch.ones(2), "b": Bomb(mark)}, path, _use_new_zipfile_serialization=not legacy
    )
    with pytest.raises(InputError, match=r"bomb.pt holds more than tensors: it could run code"):
        open_state_dict(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)["b"].close()
    assert mark.exists()  # it would have


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no state dict but list"),
        (torch.ones(2), "holds no state dict but Tensor"),
        ({}, "holds no state dict but dict"),
        ({"state_dict": [1]}, "holds no state dict but list"),
        ({"epoch": 3, "lr": 0.1}, r"holds no tensors, only \['epoch', 'lr'\]"),
    ],
)
def test_pytorch_files_without_a_state_dict(tmp_path: Path, content: Any, message: str):
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=f"bad.pt {message}"):
        open_state_dict(tmp_path / "bad.pt")


def test_empty_and_missing_files(tmp_path: Path):
    for name in ("empty.pt", "empty.safetensors"):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=f"{name} is empty"):
            open_state_dict(tmp_path / name)
    for path in (tmp_path / "missing.pt", tmp_path):
        with pytest.raises(InputError, match=f"{path}: no such checkpoint file"):
            open_state_dict(path)
