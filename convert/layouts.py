"""The layouts of checkpoints: how each is recognised and mapped."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

from venhancer_jax.convert import clip, vae, venhancer
from venhancer_jax.convert.rules import Entry, Table, entries
from venhancer_jax.models.autoencoders.vae import VAEConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines import catalog


@dataclasses.dataclass(frozen=True)
class Layouts:
    """The layouts in which the checkpoints of a network come.

    Attributes:
      tables: by name of the layout, from the config.
      detect: the config with the parts that are stored and the name of the layout, from the
        config asked for and the names of all tensors.
      prefix: where larger checkpoints keep the network.
      ignored: starts of names that belong to other networks.
    """

    tables: Mapping[str, Callable[[Any], Table]]
    detect: Callable[[Any, Collection[str]], tuple[Any, str]]
    prefix: str = ""
    ignored: tuple[str, ...] = ()


def _detect_vae(config: VAEConfig, names: Collection[str]) -> tuple[VAEConfig, str]:
    temporal = any(name.startswith("decoder.time_conv_out") for name in names)
    config = dataclasses.replace(config, temporal_decoder=temporal)
    if temporal:
        return config, "svd"
    if any(name.startswith("encoder.down.") for name in names):
        return config, "original"
    old = any(name.startswith("encoder.mid_block.attentions.0.query") for name in names)
    return config, "diffusers_old" if old else "diffusers"


def _detect_text(config: ClipTextConfig, names: Collection[str]) -> tuple[ClipTextConfig, str]:
    stored, _ = clip.detect(config, names)
    if "ln_final.weight" in names:
        return stored, "open_clip"
    bare = "final_layer_norm.weight" in names
    return stored, "transformers_bare" if bare else "transformers"


LAYOUTS: dict[str, Layouts] = {
    "venhancer": Layouts(
        tables={"venhancer": venhancer.venhancer},
        detect=lambda config, names: (config, "venhancer"),
    ),
    "vae": Layouts(
        tables={
            "svd": vae.svd,
            "diffusers": vae.sd21,
            "diffusers_old": vae.sd21_old,
            "original": vae.sd21_original,
        },
        detect=_detect_vae,
        prefix="first_stage_model.",
    ),
    "text": Layouts(
        tables={
            "open_clip": clip.open_clip,
            "transformers": clip.transformers_clip,
            "transformers_bare": lambda config: clip.transformers_clip(config, prefix=""),
        },
        detect=_detect_text,
        prefix="cond_stage_model.model.",
        ignored=clip.IGNORED,
    ),
}


def layout_entries(network: str, config: catalog.Config, layout: str) -> list[Entry]:
    """Rules of a layout spelled out for every parameter."""
    shapes = {n: leaf.shape for n, leaf in catalog.build(network, config).shapes.items()}
    return entries(LAYOUTS[network].tables[layout](config), shapes)
