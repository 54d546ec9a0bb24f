"""Rules of RAFT's checkpoints.

A shortcut's batch norm is registered under two names, and every batch norm counts its batches.
"""

from collections.abc import Collection

import numpy as np

from venhancer_jax.convert.constants import Constant
from venhancer_jax.convert.rules import Layouts, Source, aliased, under
from venhancer_jax.errors import InputError
from venhancer_jax.models.raft.raft import RaftConfig

_UPDATE = {
    "motion.correlation1": "encoder.convc1",
    "motion.correlation2": "encoder.convc2",
    "motion.flow1": "encoder.convf1",
    "motion.flow2": "encoder.convf2",
    "motion.conv": "encoder.conv",
    "flow_head.conv1": "flow_head.conv1",
    "flow_head.conv2": "flow_head.conv2",
    "mask_head.conv1": "mask.0",
    "mask_head.conv2": "mask.2",
} | {
    f"gru_{along}.{ours}": f"gru.conv{theirs}{i}"
    for i, along in ((1, "rows"), (2, "columns"))
    for ours, theirs in (("update", "z"), ("reset", "r"), ("candidate", "q"))
}


def raft(config: RaftConfig) -> dict[str, Source | Constant]:
    """Returns the table of the large RAFT."""
    del config  # sizes change no name
    table = under("", "update_block.", _UPDATE)
    for ours, theirs, norms in (
        ("feature_encoder.", "fnet.", False),
        ("context_encoder.", "cnet.", True),
    ):
        table |= under(ours, theirs, _encoder(norms=norms))
    return table


def _encoder(*, norms: bool) -> dict[str, str | Source | Constant]:
    """Returns the table of an encoder, with the parameters of its norms if it has any."""
    table: dict[str, str | Source | Constant] = {"conv_in": "conv1", "conv_out": "conv2"}
    if norms:
        table |= _batch_norm("norm_in", "norm1")
    for i in range(6):
        ours, theirs = f"blocks.{i}.", f"layer{1 + i // 2}.{i % 2}."
        table |= {f"{ours}conv{n}": f"{theirs}conv{n}" for n in (1, 2)}
        if norms:
            for n in (1, 2):
                table |= _batch_norm(f"{ours}norm{n}", f"{theirs}norm{n}")
        if i in (2, 4):
            table[f"{ours}shortcut"] = f"{theirs}downsample.0"
            if norms:
                names = f"{theirs}downsample.1", f"{theirs}norm3"
                table |= _batch_norm(f"{ours}shortcut_norm", *names)
    return table


def _batch_norm(ours: str, theirs: str, *aliases: str) -> dict[str, str | Source | Constant]:
    table: dict[str, str | Source | Constant] = {ours: aliased(theirs, *aliases)}
    for statistic, name in (("mean", "running_mean"), ("variance", "running_var")):
        table[f"{ours}.{statistic}"] = aliased(
            f"{theirs}.{name}", *(f"{alias}.{name}" for alias in aliases)
        )
    for i, name in enumerate((theirs, *aliases)):
        zero = np.zeros((), np.int64)
        table[f"{ours}.batches{i}"] = Constant(f"{name}.num_batches_tracked", zero, varies=True)
    return table


def _detect(config: RaftConfig, names: Collection[str]) -> tuple[RaftConfig, str]:
    if "update_block.mask.2.weight" in names:
        return config, "plain"
    raise InputError(
        "no checkpoint of the large RAFT: expected update_block.mask.2.weight among"
        f" {len(names)} tensors, found {sorted(names)[:5]}"
    )


LAYOUTS = {
    "raft": Layouts(tables={"plain": raft}, detect=_detect),
}
