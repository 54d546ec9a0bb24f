"""Replay of training: steps of the real objective and optimizer, with the recorded draws."""

import dataclasses
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity.case import NETWORK, Case, compare
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.convert.parity.venhancer.networks import config_of
from venhancer_jax.convert.rules import Entry
from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines import catalog
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.loss import v_target
from venhancer_jax.training.state import TrainState, make_optimizer
from venhancer_jax.training.step import make_step
from venhancer_jax.training.venhancer.conditioning import Conditioning
from venhancer_jax.training.venhancer.start import split

# Relative tolerances: of losses; of gradients, some of which are zero but for rounding; and of
# updated parameters, where Adam amplifies the rounding of small gradients.
LOSS, GRADIENT, GRADIENT_ABSOLUTE, UPDATED = 1e-5, 1e-4, 1e-6, 2e-5


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedConditioning(Conditioning):
    """Conditioning whose noise is recorded.

    Attributes:
      noise: noise of the recorded draws by their shape, which differs between hint and target.
    """

    noise: dict[tuple[int, ...], np.ndarray]

    def draw_noise(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Returns the recorded noise of a shape."""
        del key
        return jnp.asarray(self.noise[shape])


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedDiffusion(Diffusion):
    """The objective at recorded time steps.

    Attributes:
      t: time steps `[B]`.
    """

    t: np.ndarray

    def draw_times(self, key: jax.Array, count: int) -> jax.Array:
        """Returns the recorded time steps."""
        del key, count
        return jnp.asarray(self.t, jnp.int32)


def replay_train_step(recording: Recording) -> list[Case]:
    """Replays loss and gradients of the first step, and a few updates of AdamW."""
    info, tensors = recording.info, recording.tensors
    config = config_of(dict(info))
    network = catalog.build("venhancer", config)
    entries = layout_entries("venhancer", config, "venhancer")
    trains, rest = split(recording.params(entries), "controlnet")
    conditioning = RecordedConditioning(
        denoiser=network,
        # Latents and text features are recorded.
        vae=_no_vae,  # pyright: ignore[reportArgumentType]
        text=_recorded_text,  # pyright: ignore[reportArgumentType]
        scaling_factor=1.0,
        schedule=cosine_interpolated_schedule(),
        noise={
            x.shape: x
            for x in (channels_last(tensors["noise"]), channels_last(tensors["noise_cond"]))
        },
    )
    objective = RecordedDiffusion(conditioning, tensors["t"])
    frozen = {"denoiser": rest, "vae": {}, "text": {"features": jnp.asarray(tensors["y"])}}
    batch = _batch(tensors)
    optimizer = _optimizer(info["optimizer"])
    step = jax.jit(make_step(objective, optimizer, seed=0))

    @jax.jit
    def predict(params: Params) -> tuple[jax.Array, jax.Array]:
        key, t = jax.random.key(0), jnp.asarray(tensors["t"], jnp.int32)
        example = conditioning.example(frozen, batch, key)
        noised, noise = conditioning.diffuse(example.clean, t, key)
        target = v_target(example.clean, noise, *conditioning.levels(t))
        return conditioning.predict(params, frozen, example, noised, t), target

    states, losses = [TrainState.start(trains, optimizer)], []
    for _ in info["loss"]:
        state, metrics = step(states[-1], frozen, batch)
        states.append(state)
        losses.append(float(metrics["loss"]))
    # The first moment after one update is the gradient times 1 - beta1.
    moments = optax.tree_utils.tree_get(states[1].optimizer, "mu")
    gradients = {name: x / (1 - info["optimizer"]["betas"][0]) for name, x in moments.items()}
    out, target = predict(trains)
    # Each recorded loss is that before an update, and so are the last parameters and output.
    updated = states[-2].params
    return [
        compare(f"{recording.name}/loss", losses, np.array(info["loss"]), LOSS),
        compare(f"{recording.name}/v_target", target, channels_last(tensors["v_target"]), LOSS),
        compare(f"{recording.name}/out_step0", out, channels_last(tensors["out_step0"]), NETWORK),
        *_gradient_cases(recording, entries, gradients),
        *_tensor_cases(recording, entries, "grad.", gradients, GRADIENT),
        *_tensor_cases(recording, entries, "param_after3.", updated, UPDATED),
        compare(
            f"{recording.name}/out_after3",
            predict(updated)[0],
            channels_last(tensors["out_after3"]),
            UPDATED,
        ),
    ]


def _batch(tensors: Any) -> dict[str, jax.Array]:
    """Returns the recorded batch as training reads it, with latents in place of frames."""
    batch = {
        "video": channels_last(tensors["z"]),
        "low": channels_last(tensors["z_cond"]),
        "noise_aug": tensors["t_hint"] + 1,
        "scale": tensors["s_cond"],
        "key_index": tensors["mask_cond"],
        "tokens": np.zeros((len(tensors["t"]), 77), np.int32),
    }
    return {name: jnp.asarray(x) for name, x in batch.items()}


def _optimizer(settings: dict[str, Any]) -> optax.GradientTransformation:
    """Returns the optimizer of training with recorded settings, without clipping.

    Raises:
      InputError: settings that training cannot have.
    """
    if [*settings["betas"], settings["eps"]] != [0.9, 0.999, 1e-8]:
        raise InputError(f"optimizer {settings}: expected betas [0.9, 0.999] and eps 1e-8")
    return make_optimizer(
        learning_rate=settings["lr"], weight_decay=settings["weight_decay"], clip_norm=math.inf
    )


def _no_vae(*_: Any) -> Any:
    raise InputError("the recording lacks latents")


def _recorded_text(params: Params, tokens: jax.Array) -> jax.Array:
    del tokens
    return params["features"]


def _gradient_cases(recording: Recording, entries: list[Entry], gradients: Params) -> list[Case]:
    """Compares the norm of every gradient; the case shows the worst one."""
    norms = recording.info["grad_norms"]
    norms = json.loads(norms) if isinstance(norms, str) else norms
    ours = {
        name: float(jnp.linalg.norm(gradients[entry.ours]))
        for entry in entries
        for name in entry.theirs
        if name in norms
    }
    excess = {
        name: (abs(ours[name] - norm), abs(ours[name] - norm) / norm if norm else 0.0)
        for name, norm in norms.items()
    }
    bad = [n for n, (a, r) in excess.items() if a > GRADIENT_ABSOLUTE and r > GRADIENT]
    shown = {n: e for n, e in excess.items() if e[0] > GRADIENT_ABSOLUTE} or excess
    worst = max(shown, key=lambda n: shown[n][1])
    total = float(np.sqrt(sum(norm**2 for norm in ours.values())))
    return [
        Case(
            f"{recording.name}/gradient norms ({len(norms)})",
            *excess[worst],
            GRADIENT,
            not bad,
            f"worst {worst}",
        ),
        compare(
            f"{recording.name}/global gradient norm",
            np.array(total),
            np.array(recording.info["global_grad_norm"]),
            GRADIENT,
        ),
    ]


def _tensor_cases(
    recording: Recording, entries: list[Entry], start: str, ours: Params, tolerance: float
) -> list[Case]:
    """Compares gradients or parameters that are recorded whole."""
    by_their_name = {name: entry for entry in entries for name in entry.theirs}
    return [
        compare(
            f"{recording.name}/{name.removeprefix('param_')}"[:58],
            by_their_name[name.removeprefix(start)].to_torch(
                np.asarray(ours[by_their_name[name.removeprefix(start)].ours])
            )[0],
            recorded,
            tolerance,
        )
        for name, recorded in recording.tensors.items()
        if name.startswith(start)
    ]
