"""The rules of RAFT against the published names and shapes."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from venhancer_jax.convert import raft, rules
from venhancer_jax.convert.checkpoint import convert, convert_back
from venhancer_jax.convert.layouts import layout_constants, layout_entries
from venhancer_jax.errors import InputError
from venhancer_jax.models.raft.raft import RaftConfig

TINY = RaftConfig.tiny()
# Of the sorted names and shapes of the published checkpoint, as JSON.
PUBLISHED = "0ecabba30fac9036e03b869028e58577e9c204f10225503dcfcdaa9bd353d027"


def shapes(config: RaftConfig) -> dict[str, tuple[int, ...]]:
    entries = layout_entries("raft", config, "plain")
    found = {name: e.their_shape for e in entries for name in (*e.theirs, *e.aliases)}
    constants = layout_constants("raft", config, "plain")
    return found | {name: constant.value.shape for name, constant in constants.items()}


def tensors() -> dict[str, np.ndarray]:
    """A random state dict that stores equal tensors under both of their names."""
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for name, shape in shapes(TINY).items():
        one_name = name.replace("norm3", "downsample.1")
        if one_name not in found:
            found[one_name] = np.asarray(rng.random(shape), np.float32)
        found[name] = found[one_name]
    counters = {name: np.int64(100_000) for name in found if name.endswith("num_batches_tracked")}
    return found | {name: np.asarray(counter) for name, counter in counters.items()}


def test_names_and_shapes_are_the_published_ones():
    found = {f"module.{name}": shape for name, shape in shapes(RaftConfig()).items()}
    assert len(found) == 179
    listed = json.dumps(sorted((name, list(shape)) for name, shape in found.items()))
    assert hashlib.sha256(listed.encode()).hexdigest() == PUBLISHED


@pytest.mark.parametrize("wrapper", ["module.", ""])
def test_there_and_back(tmp_path: Path, wrapper: str):
    """Counters, aliases and the data-parallel wrapper included."""
    stored = {f"{wrapper}{name}": tensor for name, tensor in tensors().items()}
    source, target = tmp_path / "raft.safetensors", tmp_path / "back.safetensors"
    save_file(stored, source)
    convert("raft", source, tmp_path / "weights", config=TINY)
    convert_back(tmp_path / "weights", target)
    back = load_file(target)
    assert {*back} == {*stored}
    for name, tensor in stored.items():
        assert back[name].dtype == tensor.dtype, name
        assert back[name].tobytes() == tensor.tobytes(), name


def test_two_names_of_one_norm_with_two_values():
    stored = tensors()
    stored["cnet.layer3.0.norm3.running_var"] = stored["cnet.layer3.0.norm3.running_var"] + 1
    constants = layout_constants("raft", TINY, "plain")
    with pytest.raises(InputError, match=r"cnet\.layer3\.0\.norm3\.running_var .* differ"):
        rules.from_torch(layout_entries("raft", TINY, "plain"), stored, constants=constants)


def test_another_network():
    with pytest.raises(InputError, match=r"no checkpoint of the large RAFT.*conv_in\.weight"):
        raft.LAYOUTS["raft"].detect(TINY, ["conv_in.weight"])
