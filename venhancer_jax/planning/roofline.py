"""How long a step takes on chips that are not there: a roofline, with what it takes for granted."""

from collections.abc import Mapping

from venhancer_jax.planning.collectives import Collective
from venhancer_jax.sharding.chips import Chip

# Share of the peak that matrix products and convolutions reach.
EFFICIENCY = 0.4
# From the start of a transfer to its first byte, in seconds.
LATENCY = 5e-6

ASSUMPTIONS = (
    f"matrix products and convolutions run at {EFFICIENCY:.0%} of the bfloat16 peak, or as fast as"
    " memory gives what the compiled program reads and writes, whichever takes longer",
    "XLA counts the memory traffic of a loop body once, so that a program with loops may be slower;"
    " for CUDA it tells none, and arguments count once, temporaries twice",
    "transfers between chips come on top: their bytes at the bandwidth of one axis of the"
    f" interconnect, and {1e6 * LATENCY:g} microseconds each",
    "chips never wait for the host, for data or for other hosts",
)


def step_seconds(
    chip: Chip, *, flops: float, memory_bytes: float, collectives: Mapping[str, Collective]
) -> float:
    """Estimated seconds of one run of a program.

    Args:
      chip: that it runs on.
      flops: operations of one chip.
      memory_bytes: that one chip reads and writes.
      collectives: transfers by kind.
    """
    computes = flops / (EFFICIENCY * chip.peak_flops)
    moves = memory_bytes / chip.memory_bandwidth
    transfers = sum(
        each.bytes / chip.link_bandwidth + each.count * LATENCY for each in collectives.values()
    )
    return max(computes, moves) + transfers
