"""A GenVE of a few thousand parameters, with the parameters of the tiny VEnhancer and its own."""

import functools
from fractions import Fraction

from pipelines.tiny_system import CONFIGS, random_params, tiny_system

from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.raft.raft import RaftConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.genve.options import GenVEOptions
from venhancer_jax.pipelines.genve.system import GenVE
from venhancer_jax.pipelines.system import LoadedNetwork

CONFIG = GenVEConfig.from_unet(CONFIGS["venhancer"])
RAFT = RaftConfig.tiny()
RATE = Fraction(10)


@functools.cache
def tiny_genve(**changes) -> GenVE:
    """Builds the system once, so that tests share what is compiled for it."""
    base = tiny_system()
    network, raft = catalog.build("genve", CONFIG), catalog.build("raft", RAFT)
    return GenVE(
        LoadedNetwork(CONFIG, network, random_params(network)),
        base.vae,
        base.text,
        raft=LoadedNetwork(RAFT, raft, random_params(raft)),
        **changes,
    )


def options(**changes) -> GenVEOptions:
    """Returns options of few steps for frames of 24x32 pixels."""
    short = {
        "up_scale": 1.0, "solver_mode": "normal", "steps": 2, "guidance_scale": 3.0,
        "image_steps": 2, "flow": "dis",
    }  # fmt: skip
    return GenVEOptions(**(short | changes))
