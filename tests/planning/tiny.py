"""Networks and topologies that are planned in seconds."""

import importlib.util

import jax
import pytest
from ml_collections import ConfigDict

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.planning import topology
from venhancer_jax.planning.topology import Topology
from venhancer_jax.sharding.chips import CHIPS, Chip

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="compiles for TPUs: needs the wheel libtpu, pip install 'venhancer-jax[plan]'",
)
V5E: Chip = next(chip for chip in CHIPS if chip.name == "v5e")

NETWORKS = {
    "venhancer": UNet3DConfig.tiny(
        width=64, multipliers=(1,), blocks_per_level=1, attention_levels=()
    ),
    "vae": VAEConfig.tiny(channels=(8, 16), groups=4, mid_attention=False, temporal_decoder=False),
    "text": NullTextConfig(width=64),
}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> ConfigDict:
    """Config of an enhancement by the least networks, which take the place of a preset."""
    config = enhancement_config("venhancer")
    monkeypatch.setitem(find_system("venhancer").presets, "debug", NETWORKS)
    config.preset = "debug"
    config.solver_mode, config.steps = "normal", 3
    return config.lock()


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Topology:
    """One CPU in place of every topology: what it compiles in a second takes a TPU's a minute."""
    one = Topology("v5e-1", V5E, tuple(jax.devices()[:1]), "cpu")
    monkeypatch.setattr(topology, "find_topology", lambda name: one)
    return one
