"""Replays of recordings of the Upscale-A-Video program."""

from collections.abc import Callable

from venhancer_jax.convert.parity.case import Case
from venhancer_jax.convert.parity.recording import Recording
from venhancer_jax.convert.parity.upscale_a_video import (
    autoencoder,
    blocks,
    diffusion,
    networks,
)
from venhancer_jax.convert.parity.upscale_a_video.recipe import weight

_REPLAYS: dict[str, Callable[[Recording], list[Case]]] = {
    "block": blocks.replay_block,
    "network": networks.replay_network,
    "vae": autoencoder.replay_vae,
