"""Networks and topologies that are planned in seconds."""

import importlib.util

import pytest
from ml_collections import ConfigDict

from venhancer_jax.models.autoencoders.vae import VAEConfig
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.planning import sampling

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="compiles for TPUs: needs the wheel libtpu, pip install 'venhancer-jax[plan]'",
)

NETWORKS = {
    "venhancer": UNet3DConfig.tiny(
        width=64, multipliers=(1,), blocks_per_level=1, attention_levels=()
    ),
    "vae": VAEConfig.tiny(channels=(8, 16), groups=4, mid_attention=False, temporal_decoder=False),
    "text": NullTextConfig(width=64),
}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> ConfigDict:
    """Of an enhancement by the least networks, as a preset of the name `least`."""
    monkeypatch.setitem(sampling.PRESETS, "least", NETWORKS)
    config = enhancement_config()
    config.preset = "least"
    config.solver_mode, config.steps = "normal", 3
    return config.lock()


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where neither libtpu nor the plugin for CUDA is installed."""
    monkeypatch.setattr("venhancer_jax.planning.topology.find_wheel", lambda module: False)
