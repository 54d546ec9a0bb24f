"""The image UNet of Stable Diffusion 2.1 against diffusers, converted there and back, as JSON.

    python -m benchmarks.sd21_parity --folder=/tmp/sd21
    python -m benchmarks.sd21_parity --folder=/tmp/sd21 --size=reduced --record=unet.safetensors

`UNet2DConditionModel` with generated weights predicts v in a process of its own and is stored as a
checkpoint, which is converted, run here, converted back, and compared bit by bit. The folder needs
11 GB for the published size; checkpoints and weights are removed at the end.
"""

import json
import multiprocessing
import shutil
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags

from venhancer_jax.convert.checkpoint import convert, convert_back
from venhancer_jax.convert.parity import recipe
from venhancer_jax.convert.parity.case import compare
from venhancer_jax.convert.parity.recording import channels_last
from venhancer_jax.convert.read import open_state_dict
from venhancer_jax.convert.sd21 import UNET
from venhancer_jax.models.functional import count_parameters
from venhancer_jax.models.genve.sd21 import SD21Config
from venhancer_jax.pipelines.networks import load_network

# Config, latent rows and columns, tokens, and tolerance of the relative L2 error.
SIZES: dict[str, tuple[SD21Config, tuple[int, int], int, float]] = {
    "published": (SD21Config(), (18, 16), 77, 1e-4),
    "reduced": (SD21Config.reduced(), (9, 14), 5, 1e-5),
}
TIMES = np.array([700, 3], np.int32)


def main(argv: list[str]) -> None:
    del argv
    config, _, _, tolerance = SIZES[_SIZE.value]
    folder = Path(_FOLDER.value)
    source, weights = folder / UNET, folder / "weights"
    back = source.with_name("back.safetensors")
    recorded = Path(_RECORD.value) if _RECORD.value else folder / "recording.npz"
    source.parent.mkdir(parents=True, exist_ok=True)
    maker = multiprocessing.get_context("spawn").Process(
        target=_predict_with_diffusers, args=(_SIZE.value, source, folder)
    )
    maker.start()
    maker.join()
    if maker.exitcode:
        raise RuntimeError("diffusers failed")
    with np.load(folder / "recording.npz") as file:
        tensors = dict(file)
    start = time.perf_counter()
    convert("sd21", source, weights, config=config)
    converted = time.perf_counter()
    convert_back(weights, back)
    facts: dict[str, Any] = {
        "size": _SIZE.value,
        "convert_seconds": converted - start,
        "back_seconds": time.perf_counter() - converted,
    }
    first, second = open_state_dict(source), open_state_dict(back)
    facts["tensors"] = len(first)
    facts["bit_equal"] = first.shapes == second.shapes and all(
        first[name].tobytes() == second[name].tobytes() for name in first
    )
    back.unlink()
    source.unlink()
    start = time.perf_counter()
    facts["parameters"], found = _predict(weights, tensors)
    facts["predict_seconds"] = time.perf_counter() - start
    case = compare("v", found, tensors["y"], tolerance)
    facts |= {
        "latents": list(tensors["sample"].shape),
        "relative_error": case.relative,
        "max_abs": case.max_abs,
        "tolerance": tolerance,
        "passed": case.passed,
    }
    shutil.rmtree(weights)
    if _RECORD.value:
        _record(recorded, tensors, config)
    print(json.dumps(facts, indent=2))


def _predict_with_diffusers(size: str, source: Path, folder: Path) -> None:
    """Stores the weights of a network of diffusers, and inputs and output of a call."""
    import torch
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from safetensors.torch import save_file

    config, latent, tokens, _ = SIZES[size]
    with torch.device("meta"):
        network: Any = UNet2DConditionModel(**_diffusers_config(config))
    state = {
        name: torch.from_numpy(recipe.weight(name, tuple(x.shape)))
        for name, x in network.state_dict().items()
    }
    save_file(state, source)
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)
    # Double precision shows our own rounding alone; that of the published size needs 7 GB.
    dtype = torch.float64 if size == "reduced" else torch.float32
    network = network.to(dtype=dtype)
    sample = recipe.normal("sd21/sample", (len(TIMES), config.in_channels, *latent))
    ctx = recipe.normal("sd21/ctx", (len(TIMES), tokens, config.context_width))
    y = network(
        torch.from_numpy(sample).to(dtype),
        torch.from_numpy(TIMES),
        torch.from_numpy(ctx).to(dtype),
    ).sample
    y = y.float().numpy()
    np.savez(folder / "recording.npz", sample=sample, t=TIMES, ctx=ctx, y=y)


def _predict(weights: Path, tensors: dict[str, np.ndarray]) -> tuple[int, np.ndarray]:
    """Returns the number of parameters, and v `[B, C, h, w]` from a weight folder."""
    loaded = load_network("sd21", weights, None, dtype=np.float32)
    x = channels_last(tensors["sample"])[:, None]
    with jax.default_matmul_precision("highest"):
        v = jax.jit(loaded.network.__call__)(loaded.params, x, tensors["t"], tensors["ctx"])
    return count_parameters(loaded.params), np.moveaxis(np.asarray(v[:, 0]), -1, 1)


def _diffusers_config(config: SD21Config) -> dict[str, Any]:
    """Returns the arguments of `UNet2DConditionModel`."""
    return {
        "in_channels": config.in_channels,
        "out_channels": config.latent_channels,
        "block_out_channels": list(config.channels),
        "layers_per_block": config.blocks_per_level,
        "attention_head_dim": list(config.heads),
        "cross_attention_dim": config.context_width,
        "use_linear_projection": True,
    }


def _record(path: Path, tensors: dict[str, np.ndarray], config: SD21Config) -> None:
    """Writes a recording for `python -m convert.parity`."""
    from safetensors.numpy import save_file

    info = {
        "kind": "sd21",
        "name": path.stem,
        "weights": "name-seeded",
        "config": _diffusers_config(config),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"info": json.dumps(info)})


if __name__ == "__main__":
    _FOLDER = flags.DEFINE_string("folder", None, "where to work", required=True)
    _SIZE = flags.DEFINE_enum("size", "published", sorted(SIZES), "sizes of the network")
    _RECORD = flags.DEFINE_string("record", None, "recording to write")
    app.run(main)
