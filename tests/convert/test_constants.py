"""Constants and aliases of state dicts in the rule engine."""

import numpy as np
import pytest

from venhancer_jax.convert.constants import Constant, read_constants, write_constants
from venhancer_jax.convert.rules import (
    Entry,
    Table,
    aliased,
    check,
    constants,
    entries,
    from_torch,
    to_torch,
    under,
)
from venhancer_jax.errors import InputError

FREQUENCIES = np.array([1.0, 0.1], np.float32)
LAYER: Table = {
    "norm": aliased("downsample.1", "norm3"),
    "frequencies": Constant("freqs", FREQUENCIES),
    "count": Constant("downsample.1.num_batches", np.array(0, np.int64), varies=True),
}
TABLE = under("encoder.", "module.", LAYER)
SHAPES = {"encoder.norm.scale": (3,), "encoder.norm.bias": (3,)}
PARAMS = {name: np.arange(3, dtype=np.float32) for name in SHAPES}
NAMES = {
    "module.downsample.1.weight",
    "module.downsample.1.bias",
    "module.norm3.weight",
    "module.norm3.bias",
    "module.freqs",
    "module.downsample.1.num_batches",
}


def layer() -> tuple[list[Entry], dict[str, Constant]]:
    return entries(TABLE, SHAPES), constants(TABLE)


def test_aliases_and_constants_there_and_back():
    found, fixed = layer()
    tensors = to_torch(found, PARAMS, constants=fixed)
    assert set(tensors) == NAMES
    assert tensors["module.downsample.1.num_batches"].dtype == np.int64
    back = from_torch(found, tensors, constants=fixed)
    for name, x in PARAMS.items():
        np.testing.assert_array_equal(back[name], x)


def test_aliases_and_constants_may_be_missing():
    found, fixed = layer()
    tensors = to_torch(found, PARAMS)
    assert "module.freqs" not in tensors
    short = {name: x for name, x in tensors.items() if "norm3" not in name}
    assert set(from_torch(found, short, constants=fixed)) == set(SHAPES)


def test_a_state_dict_whose_constants_are_unknown_is_refused():
    found, fixed = layer()
    with pytest.raises(InputError, match=r"extra module.freqs"):
        from_torch(found, to_torch(found, PARAMS, constants=fixed))


def test_an_alias_that_differs_is_refused():
    found, fixed = layer()
    tensors = to_torch(found, PARAMS, constants=fixed)
    tensors["module.norm3.bias"] = tensors["module.norm3.bias"] + 1
    with pytest.raises(InputError, match=r"module.norm3.bias and module.downsample.1.bias differ"):
        from_torch(found, tensors, constants=fixed)


def test_a_misshapen_alias_is_refused():
    found, fixed = layer()
    shapes = {name: x.shape for name, x in to_torch(found, PARAMS, constants=fixed).items()}
    with pytest.raises(InputError, match=r"misshapen module.norm3.weight"):
        check(found, shapes | {"module.norm3.weight": (4,)}, constants=fixed)


@pytest.mark.parametrize("value", [2 * FREQUENCIES, FREQUENCIES[:1]])
def test_another_value_of_a_constant_is_refused(value: np.ndarray):
    with pytest.raises(InputError, match=r"module.freqs is a constant of the network: expected"):
        read_constants(layer()[1], {"module.freqs": value})


def test_constants_may_be_rounded_to_half_precision():
    _, fixed = layer()
    assert read_constants(fixed, {"module.freqs": FREQUENCIES.astype(np.float16)}) == {
        "module.freqs": None
    }
    written = write_constants(fixed, None, np.dtype(np.float16))
    assert written["module.freqs"].dtype == np.float16
    assert written["module.downsample.1.num_batches"].dtype == np.int64


def test_counters_come_back_and_missing_constants_stay_missing():
    _, fixed = layer()
    name = "module.downsample.1.num_batches"
    stored = read_constants(fixed, {name: np.array(1234, np.int64)})
    written = write_constants(fixed, stored, np.dtype(np.float32))
    assert set(written) == {name}
    assert written[name].dtype == np.int64
    assert int(written[name]) == 1234
