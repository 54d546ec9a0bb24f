"""Checkpoints of random numbers, in files."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.read import open_state_dict
from venhancer_jax.convert.rules import to_torch
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines.catalog import Config

torch: Any = pytest.importorskip("torch")

TEXT = ClipTextConfig.tiny(vocabulary=11, length=7, width=8, heads=2, layers=2)
TEXT_SIZES = ("vocabulary", "length", "width", "heads", "layers")
Tensors = dict[str, np.ndarray]


def checkpoint(network: str, config: Config, layout: str, dtype: str = "float32") -> Tensors:
    """A state dict of random numbers."""
    rng = np.random.default_rng(0)
    entries = layout_entries(network, config, layout)
    params = {e.ours: rng.standard_normal(e.shape, np.float32) for e in entries}
    tensors = to_torch(entries, params)
    return {name: x.astype(jnp.dtype(dtype)) for name, x in tensors.items()}


def of_torch(tensors: Tensors) -> dict[str, Any]:
    return {
        name: torch.from_numpy(x.astype(np.float32)).to(getattr(torch, str(x.dtype)))
        for name, x in tensors.items()
    }


def save(tensors: Tensors, path: Path, **options: Any) -> Path:
    torch.save(of_torch(tensors), path, **options)
    return path


def assert_same(path: Path, expected: Tensors) -> None:
    found = open_state_dict(path)
    assert set(found) == set(expected)
    for name, x in expected.items():
        assert found[name].dtype == x.dtype, name
        np.testing.assert_array_equal(found[name], x, err_msg=name)


def whole(path: Path, text: Tensors) -> bytes:
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file(text, path)
    else:
        save(text, path)
    return path.read_bytes()
