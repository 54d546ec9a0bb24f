"""Replay of the training step: the ControlNet trains, the prior is frozen."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity import recipe
from venhancer_jax.convert.parity.case import NETWORK, Case, compare
from venhancer_jax.convert.parity.networks import config_of
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.convert.rules import Entry
from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines import catalog
from venhancer_jax.training.loss import v_loss, v_target

# Relative tolerances: of losses; of gradient norms, some of which are zero but for rounding; and
# of updated parameters, where Adam amplifies the rounding of small gradients.
LOSS, GRADIENT, GRADIENT_ABSOLUTE, UPDATED = 1e-5, 1e-4, 1e-6, 5e-4


def replay_train_step(recording: Recording) -> list[Case]:
    """Loss and gradients of the first step, then a few steps of AdamW."""
    info, tensors = recording.info, recording.tensors
    config = config_of(dict(info))
    network = catalog.build("venhancer", config)
    entries = layout_entries("venhancer", config, "venhancer")
    params = recording.params(entries)
    trainable = {n: x for n, x in params.items() if n.startswith("controlnet.")}
    frozen = {n: x for n, x in params.items() if n not in trainable}
    batch = _batch(recording)
    settings = info["optimizer"]
    optimizer = optax.adamw(
        settings["lr"],
        *settings["betas"],
        eps=settings["eps"],
        weight_decay=settings["weight_decay"],
    )

    def loss_of(trainable: Params) -> tuple[jax.Array, jax.Array]:
        conditions = {k: batch[k] for k in ("hint", "hint_t", "scale", "key_index")}
        out = network(trainable | frozen, batch["x"], batch["t"], batch["text"], **conditions)
        return v_loss(out, batch["target"]), out

    @jax.jit
    def step(trainable: Params, state: Any) -> tuple:
        (loss, out), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        updates, state = optimizer.update(gradients, state, trainable)
        return optax.apply_updates(trainable, updates), state, loss, out, gradients

    state, losses, outs, first = optimizer.init(trainable), [], [], None
    before_last = trainable
    for _ in info["loss"]:
        before_last = trainable
        trainable, state, loss, out, gradients = step(trainable, state)
        losses.append(float(loss))
        outs.append(out)
        first = first or gradients
    return [
        compare(f"{recording.name}/loss", losses, np.array(info["loss"]), LOSS),
        compare(f"{recording.name}/v_target", batch["target"], _video(tensors["v_target"]), LOSS),
        compare(f"{recording.name}/out_step0", outs[0], _video(tensors["out_step0"]), NETWORK),
        *_gradient_cases(recording, entries, first or {}),
        *_tensor_cases(recording, entries, "grad.", first or {}, GRADIENT),
        *_tensor_cases(recording, entries, "param_after3.", before_last, UPDATED),
        compare(f"{recording.name}/out_after3", outs[-1], _video(tensors["out_after3"]), UPDATED),
    ]


def _batch(recording: Recording) -> dict[str, jax.Array]:
    tensors, schedule = recording.tensors, cosine_interpolated_schedule()
    t = tensors["t"]
    alpha = schedule.alphas[t].reshape(-1, 1, 1, 1, 1)
    sigma = schedule.sigmas[t].reshape(-1, 1, 1, 1, 1)
    z, noise = (jnp.asarray(_video(tensors[name])) for name in ("z", "noise"))
    batch = {
        "x": _video(tensors["x_t"]),
        "hint": _video(tensors["hint"]),
        "target": v_target(z, noise, jnp.asarray(alpha), jnp.asarray(sigma)),
        "t": t,
        "hint_t": tensors["t_hint"],
        "scale": tensors["s_cond"],
        "key_index": tensors["mask_cond"],
        # Text features follow from the name of the case.
        "text": recipe.normal(f"{recording.info['case']}/y", (len(t), 77, 1024)),
    }
    return {key: jnp.asarray(value) for key, value in batch.items()}


def _gradient_cases(recording: Recording, entries: list[Entry], gradients: Params) -> list[Case]:
    """The norm of every gradient: the worst one is shown."""
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
    """Gradients or parameters that are recorded whole."""
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


def _video(tensor: np.ndarray) -> np.ndarray:
    return channels_last(tensor)
