"""Fresh parameters: computed where they are stored, and equal to those of the layers."""

import jax
import numpy as np
import pytest
from training.toy import SOURCE

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.functional import FunctionalModule
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.sharding.params import fsdp_sharding
from venhancer_jax.training import initialization

TEXT = catalog.build("text", ClipTextConfig.tiny(vocabulary=64, width=32).only_used())
NETWORKS = {
    "text": TEXT,
    # Some of its layers start as tables, which their initialisers hold as arrays.
    "vae": catalog.build(
        "vae", VAEConfig.tiny(channels=(8, 8), blocks_per_level=0, groups=4, patch_shortcut=True)
    ),
}


def _fresh(network: FunctionalModule, seed: int) -> dict[str, jax.Array]:
    shardings = fsdp_sharding(device_mesh({"data": -1}), network.shapes)
    params = initialization.init_sharded_params(network, jax.random.key(seed), shardings)
    for name, x in params.items():
        assert x.sharding == shardings[name]
    return params


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "vae")) for n in NETWORKS]
)
def test_each_parameter_is_what_its_layer_makes(name: str):
    network = NETWORKS[name]
    params, wanted = _fresh(network, 3), network.init(jax.random.key(3))

    assert list(params) == list(wanted)
    for name, x in wanted.items():
        # A compiled scale and shift may round once where two steps round twice.
        np.testing.assert_array_max_ulp(np.asarray(params[name]), np.asarray(x), maxulp=1)


def test_layers_that_start_at_zero_do():
    params = _fresh(SOURCE.network, 0)

    assert not np.any(params["middle.kernel"])
    assert np.any(params["first.kernel"]) and np.any(params["last.kernel"])


def test_equal_layers_share_a_program_and_differ_in_their_numbers(monkeypatch):
    programs = []
    build = initialization._initializer
    monkeypatch.setattr(
        initialization, "_initializer", lambda *args: programs.append(args) or build(*args)
    )
    params = _fresh(TEXT, 0)

    assert len(programs) < len(params)
    kernels = [x for n, x in params.items() if n.startswith("blocks.") and x.ndim > 1]
    texts = {np.asarray(x).tobytes() for x in kernels}
    assert len(texts) == len(kernels) > 1


@pytest.mark.parametrize("system", ["venhancer", "upscale_a_video", "genve"])
def test_types_of_parameters_are_strong(system: str):
    """A weak type becomes strong in the first step, and the second one is compiled again."""
    presets = find_system(system).presets["debug"]
    weak = [
        (network, name)
        for network, config in presets.items()
        if network in catalog.networks()
        for name, leaf in catalog.build(network, config).shapes.items()
        if leaf.weak_type
    ]
    assert not weak
