"""State dicts from PyTorch and safetensors files, one tensor in memory at a time."""

import json
import math
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors import SafetensorError

from venhancer_jax.errors import InputError

# Bytes after which a memory-mapped file is reopened: its pages stay resident once they are read.
REOPEN_BYTES = 2**30
_SAFETENSORS_TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    # Counters and positions.
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
}


class StateDict(Mapping[str, np.ndarray]):
    """A state dict whose tensors are read from the file on access.

    Attributes:
      path: path of the file.
      shapes: shape of each tensor by name.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def part(self, prefix: str) -> "StateDict":
        """Returns the tensors whose names have a prefix, without it; all tensors if none has."""
        if not any(name.startswith(prefix) for name in self.shapes):
            return self
        return _Part(self, prefix)


def open_state_dict(path: str | Path) -> StateDict:
    """Opens a `.safetensors` file, or a PyTorch file with or without a `state_dict` wrapper.

    Args:
      path: path of the file.

    Raises:
      InputError: a file that is missing, truncated, of another format, or a pickle with code.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: copy or download the checkpoint again")
    if path.suffix == ".safetensors":
        return _Safetensors(path)
    return _Torch(path)


class _Part(StateDict):
    def __init__(self, whole: StateDict, prefix: str):
        self.path = whole.path
        names = (name for name in whole.shapes if name.startswith(prefix))
        self.shapes = {name.removeprefix(prefix): whole.shapes[name] for name in names}
        self._whole, self._prefix = whole, prefix

    def __getitem__(self, name: str) -> np.ndarray:
        return self._whole[self._prefix + name]


class _Safetensors(StateDict):
    def __init__(self, path: Path):
        self.path = path
        size = path.stat().st_size
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                if length > size:
                    raise SafetensorError("its header is longer than the file")
                self._header: dict[str, Any] = dict(json.loads(file.read(length)))
            self._header.pop("__metadata__", None)
            self.shapes = {name: tuple(item["shape"]) for name, item in self._header.items()}
            end = max((item["data_offsets"][1] for item in self._header.values()), default=0)
        except (struct.error, ValueError, TypeError, LookupError, SafetensorError) as error:
            raise InputError(f"{path} is not a safetensors file ({error})") from None
        self._data = 8 + length
        if self._data + end > size:
            raise InputError(
                f"{path} is truncated: {size} of {self._data + end} bytes; download it again"
            )

    def __getitem__(self, name: str) -> np.ndarray:
        item = self._header[name]
        start, end = item["data_offsets"]
        dtype = _SAFETENSORS_TYPES.get(item["dtype"])
        if dtype is None:
            raise _unknown_type(self.path, name, item["dtype"])
        with self.path.open("rb") as file:
            file.seek(self._data + start)
            content = np.frombuffer(file.read(end - start), dtype)
        if content.size != math.prod(item["shape"]):
            raise InputError(f"{self.path}: tensor {name} is no {item['dtype']} {item['shape']}")
        return content.reshape(item["shape"])


class _Torch(StateDict):
    def __init__(self, path: Path):
        self.path = path
        tensors = self._open()
        self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        self._tensors: dict[str, Any] | None = tensors
        self._was_read = 0

    def __getitem__(self, name: str) -> np.ndarray:
        if self._tensors is None or self._was_read > REOPEN_BYTES:
            self._tensors, self._was_read = None, 0
            self._tensors = self._open()
        tensor = self._tensors[name]
        self._was_read += tensor.nbytes
        if tensor.dtype.is_floating_point and tensor.dtype.itemsize < 2:
            raise _unknown_type(self.path, name, tensor.dtype)
        return _to_numpy(tensor)

    def _open(self) -> dict[str, Any]:
        try:
            import torch
        except ImportError:
            raise InputError(
                f"{self.path} is a PyTorch file, which needs PyTorch to be read:"
                " pip install 'venhancer-jax[convert]', or give a .safetensors file"
            ) from None
        mapped = zipfile.is_zipfile(self.path)
        try:
            loaded = torch.load(self.path, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:  # garbage meets the unpickler in a dozen ways
            if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
                raise InputError(
                    f"{self.path} holds more than tensors: it could run code and is not loaded."
                    " Save its state dict again with torch.save(model.state_dict(), ...)"
                ) from None
            raise InputError(
                f"{self.path} is not a whole PyTorch checkpoint ({_reason(error)}): download it"
                " again"
            ) from None
        if isinstance(loaded, dict):
            loaded = loaded.get("state_dict", loaded)
        if not isinstance(loaded, dict) or not loaded:
            raise InputError(f"{self.path} holds no state dict but {type(loaded).__name__}")
        tensors = {str(name): x for name, x in loaded.items() if isinstance(x, torch.Tensor)}
        if not tensors:
            raise InputError(f"{self.path} holds no tensors, only {sorted(map(str, loaded))[:5]}")
        return tensors


def _to_numpy(tensor: Any) -> np.ndarray:
    """Copies a tensor, so that the mapped file can be closed."""
    import torch

    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().copy().view(ml_dtypes.bfloat16)
    return tensor.numpy().copy()


def _unknown_type(path: Path, name: str, dtype: Any) -> InputError:
    return InputError(f"{path}: tensor {name} has the type {dtype}, expected a floating-point type")


def _reason(error: Exception) -> str:
    """Returns what went wrong, without PyTorch's advice to load the file and run its code."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) or not text:
        return "no pickle of tensors"
    return text.splitlines()[0][:200]
