"""Records activations of a PyTorch program, for `python -m convert.parity` to replay.

    from venhancer_jax.convert.record import record_blocks, record_network

    with record_blocks(model, {"input_blocks.1.0": "resblock"}, "recordings"):
        model(x, t, y)
    with record_network(model, "recordings/run.safetensors", kwargs):
        model(x, t, y, hint=hint, t_hint=t_hint, s_cond=s_cond, mask_cond=mask_cond)

Run the program in float32, in eval mode. The first call of each module is recorded.
"""

import contextlib
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

# Names of the arguments of the whole network in recordings.
NETWORK_INPUTS = ("x", "t", "y", "hint", "t_hint", "s_cond", "mask_cond")


@contextlib.contextmanager
def record_blocks(
    model: torch.nn.Module,
    modules: Mapping[str, str],
    folder: str | Path,
    *,
    head_dim: int = 64,
) -> Iterator[None]:
    """Records single modules with their weights, a file for each.

    Args:
      model: module that contains the recorded ones.
      modules: kind of each recorded submodule by its dotted name: `resblock`, `temporal_conv_v2`,
        `spatial_transformer`, `temporal_transformer`, `downsample`, `upsample`, `cross_attention`,
        `geglu_ff` or `basic_block_temporal`.
      folder: folder of the recordings, written when the block ends.
      head_dim: channels of an attention head.

    Raises:
      RuntimeError: a module was not called before the block ended.
    """
    calls: dict[str, tuple[tuple, torch.Tensor]] = {}
    handles = [
        model.get_submodule(name).register_forward_hook(_keep_first(calls, name))
        for name in modules
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    _check_called(modules, calls)
    for name, kind in modules.items():
        arguments, out = calls[name]
        weights = model.get_submodule(name).state_dict()
        tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
        numbers = [a for a in arguments if isinstance(a, int)]
        info = {
            "kind": "block",
            "name": f"block_{name}",
            "module": kind,
            "weights": "stored",
            "params": {key: list(value.shape) for key, value in weights.items()},
            "head_dim": head_dim,
            # Residual blocks are called with the number of videos that are folded into the batch.
            "batch_size": numbers[0] if numbers else 1,
        }
        content = {f"in{i}": tensor for i, tensor in enumerate(tensors)}
        content |= {f"weight.{key}": value for key, value in weights.items()}
        _save(Path(folder) / f"block_{name}.safetensors", {**content, "out": out}, info)


@contextlib.contextmanager
def record_network(
    model: torch.nn.Module, path: str | Path, kwargs: Mapping[str, Any]
) -> Iterator[None]:
    """Records one call of the whole network; its weights stay in the checkpoint.

    Replay it with `python -m convert.parity PATH --checkpoint=FILE`.

    Args:
      model: UNet with ControlNet; its `forward` has arguments named as in `NETWORK_INPUTS`.
      path: path of the recording, written when the block ends.
      kwargs: arguments of the constructor: in_dim, dim, context_dim, dim_mult, num_heads,
        head_dim, num_res_blocks.

    Raises:
      RuntimeError: the network was not called before the block ended.
    """
    calls: dict[str, tuple[Mapping[str, Any], torch.Tensor]] = {}
    signature = inspect.signature(model.forward)

    def keep(module: torch.nn.Module, args: tuple, kwargs: dict, out: torch.Tensor) -> None:
        del module
        calls.setdefault("network", (signature.bind(*args, **kwargs).arguments, out))

    handle = model.register_forward_hook(keep, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
    _check_called(["network"], calls)
    arguments, out = calls["network"]
    tensors = {n: v for n, v in arguments.items() if n in NETWORK_INPUTS and v is not None}
    info = {
        "kind": "network",
        "name": Path(path).stem,
        "weights": "checkpoint",
        "kwargs": dict(kwargs),
    }
    _save(Path(path), {**tensors, "out": out}, info)


def _keep_first(calls: dict, name: str) -> Any:
    def keep(module: torch.nn.Module, arguments: tuple, out: torch.Tensor) -> None:
        del module
        calls.setdefault(name, (arguments, out))

    return keep


def _check_called(names: Any, calls: Mapping[str, Any]) -> None:
    missing = [name for name in names if name not in calls]
    if missing:
        raise RuntimeError(f"not called while recording: {', '.join(missing)}")


def _save(path: Path, tensors: Mapping[str, torch.Tensor], info: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    save_file(content, path, metadata={"info": json.dumps(info)})
