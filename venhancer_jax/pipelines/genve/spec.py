"""GenVE in the registry: networks and presets."""

import dataclasses
from typing import Any

from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.genve.network import GuidedUNet
from venhancer_jax.pipelines.system import NetworkKind
from venhancer_jax.pipelines.venhancer import spec as venhancer


def _preset(sizes: dict[str, Any]) -> dict[str, Any]:
    others = {name: config for name, config in sizes.items() if name != "venhancer"}
    return {"genve": GenVEConfig.from_unet(sizes["venhancer"]), **others}


PRESETS = {
    "genve" if name == "venhancer" else name: _preset(sizes)
    for name, sizes in venhancer.PRESETS.items()
}

SPEC = dataclasses.replace(
    venhancer.SPEC,
    name="genve",
    networks={"genve": NetworkKind(config=GenVEConfig, module=GuidedUNet)},
    presets=PRESETS,
    training="venhancer_jax.training.genve",
    conversion="",
    parity="",
)
