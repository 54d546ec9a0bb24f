"""Compiles a program for a topology and reads off what one run takes there."""

import contextlib
import dataclasses
import functools
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from venhancer_jax.pipelines.system import ProgramSpec
from venhancer_jax.planning.collectives import Collective, count_collectives
from venhancer_jax.planning.estimate import activation_bytes, without_shardings
from venhancer_jax.planning.topology import Topology
from venhancer_jax.planning.work import count_chip_flops
from venhancer_jax.sharding.chips import Chip
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.sharding.params import shard_bytes

# Share of the peak that matrix products and convolutions reach.
EFFICIENCY = 0.4
# Seconds from the start of a transfer to its first byte.
LATENCY = 5e-6
ASSUMPTIONS = (
    f"matrix products and convolutions run at {EFFICIENCY:.0%} of the bfloat16 peak, or as fast as"
    " memory moves what the compiled program reads and writes, whichever takes longer",
    "XLA counts the memory traffic of a loop body once, so that a program with loops may be slower;"
    " for CUDA it reports none, and arguments count once, temporaries twice",
    "transfers between chips come on top: their bytes at the bandwidth of one axis of the"
    f" interconnect, and {1e6 * LATENCY:g} microseconds each",
    "where the text of the compiled program does not show the work of a chip (GPUs), it is split"
    " evenly over the chips that share it",
    "chips never wait for the host, for data or for other hosts",
)

# Autotuning measures on a GPU, which need not be present; without it Triton may choose tiles that
# cannot be compiled.
_COMPILER_OPTIONS = {"cuda": {"xla_gpu_autotune_level": 0, "xla_gpu_enable_triton_gemm": False}}
# A quarter of the time to compile; memory and transfers are nearly the same.
_QUICK_OPTIONS = {"tpu": {"exec_time_optimization_effort": -1.0}}
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# "... HLO temporaries (84.00G) exceeds available HBM (15.75G)", "Used 17.5G of 15.75G hbm"
_NEEDED = (
    re.compile(r"memory required for [^(]*\(([\d.]+)([KMGT]?)\)", re.IGNORECASE),
    re.compile(r"Used ([\d.]+)([KMGT]?)i?B? of [\d.]+[KMGT]?i?B? hbm", re.IGNORECASE),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramStats:
    """Memory, work, traffic and time of one run of a program.

    Attributes:
      argument_bytes: arguments on one chip.
      temporary_bytes: intermediates, results that reuse no argument's memory, and code on one chip.
      resident_bytes: other arrays on one chip, such as weights of other networks.
      limit_bytes: memory of one chip.
      flops: operations on all chips together.
      flops_per_chip: operations on one chip; `flops / flops_per_chip` chips share the work.
      memory_traffic: bytes that one chip reads and writes, loop bodies counted once.
      collectives: transfers between chips by kind; empty for a program that is too large.
      unknown_loops: number of loops of unknown length, whose transfers are counted once.
      compile_seconds: seconds of tracing and compiling.
      step_seconds_estimate: estimated seconds of the run.
      calls: number of runs in the enhancement or update that is planned.
    """

    argument_bytes: int
    temporary_bytes: int
    resident_bytes: int
    limit_bytes: int
    flops: int
    flops_per_chip: float
    memory_traffic: float
    collectives: Mapping[str, Collective]
    unknown_loops: int
    compile_seconds: float
    step_seconds_estimate: float
    calls: float

    @property
    def bytes_per_chip(self) -> int:
        """Returns the bytes that one chip must hold."""
        return self.argument_bytes + self.temporary_bytes + self.resident_bytes

    @property
    def fits(self) -> bool:
        """Returns whether one chip holds them."""
        return self.bytes_per_chip <= self.limit_bytes


def plan_program(program: ProgramSpec, topology: Topology, *, quick: bool = False) -> ProgramStats:
    """Compiles a program for a topology, also one that turns out too large; else estimates.

    Args:
      program: program of a run.
      topology: chips to compile for.
      quick: whether to compile with the least effort, where the compiler has such an option.

    Raises:
      jax.errors.JaxRuntimeError: the compiler fails for another reason than too little memory.
    """
    function = functools.partial(program.function, *program.static)
    arguments = shard_bytes(program.arguments)
    collectives, unknown_loops, traffic, seen = {}, 0, None, 0
    start = time.perf_counter()
    if topology.missing:
        flops = count_flops(function, *without_shardings(program.arguments))
        activations = activation_bytes(function, *program.arguments)
        compiled, needed = None, arguments + round(activations / program.shards)
    else:
        with jax.set_mesh(program.mesh):
            flops = count_flops(function, *program.arguments)
            start = time.perf_counter()
            compiled, needed = _compile(program, topology.platform, quick)
    seconds = time.perf_counter() - start
    if compiled is None:
        temporary = max(0, needed - arguments)
    else:
        memory = compiled.memory_analysis()
        arguments = memory.argument_size_in_bytes
        temporary = (
            memory.temp_size_in_bytes
            + memory.output_size_in_bytes
            - memory.alias_size_in_bytes
            + memory.generated_code_size_in_bytes
        )
        text = compiled.as_text()
        collectives, unknown_loops = count_collectives(text)
        # On GPUs most of the work is in library calls.
        seen = count_chip_flops(text) if topology.platform == "tpu" else 0
        traffic = (compiled.cost_analysis() or {}).get("bytes accessed")
    # Work that the text does not show is at least split evenly.
    per_chip = max(seen, flops / len(topology.devices)) if seen else flops / program.shards
    traffic = traffic or arguments + 2 * temporary
    return ProgramStats(
        argument_bytes=arguments,
        temporary_bytes=temporary,
        resident_bytes=program.resident_bytes,
        limit_bytes=topology.limit_bytes,
        flops=flops,
        flops_per_chip=per_chip,
        memory_traffic=traffic,
        collectives=collectives,
        unknown_loops=unknown_loops,
        compile_seconds=seconds,
        step_seconds_estimate=estimate_seconds(
            topology.chip, flops=per_chip, memory_bytes=traffic, collectives=collectives
        ),
        calls=program.calls,
    )


def estimate_seconds(
    chip: Chip, *, flops: float, memory_bytes: float, collectives: Mapping[str, Collective]
) -> float:
    """Estimates the seconds of one run of a program by a roofline; see `ASSUMPTIONS`.

    Args:
      chip: chip that the program runs on.
      flops: operations of one chip.
      memory_bytes: bytes that one chip reads and writes.
      collectives: transfers between chips by kind.
    """
    computes = flops / (EFFICIENCY * chip.peak_flops)
    moves = memory_bytes / chip.memory_bandwidth
    transfers = sum(
        each.bytes / chip.link_bandwidth + each.count * LATENCY for each in collectives.values()
    )
    return max(computes, moves) + transfers


def needed_bytes(message: str) -> int | None:
    """Parses the bytes that a program needs out of the compiler's message; None for others."""
    for pattern in _NEEDED:
        if found := pattern.search(message):
            return round(float(found.group(1)) * _UNITS[found.group(2).upper()])
    return None


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
    """Keeps compiled programs out of JAX's cache, which cannot load those for absent devices."""
    name = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[name]
    jax.config.update(name, 1e9)
    try:
        yield
    finally:
        jax.config.update(name, before)


def _compile(program: ProgramSpec, platform: str, quick: bool) -> tuple[Any, int]:
    """Returns the compiled program; or None and the bytes that it needs, which are too many."""
    options = _COMPILER_OPTIONS.get(platform, {})
    if quick:
        options = options | _QUICK_OPTIONS.get(platform, {})
    traced = program.function.trace(*program.static, *program.arguments)
    try:
        lowered = traced.lower(lowering_platforms=(platform,))
        with without_cache():
            return lowered.compile(compiler_options=options), 0
    except jax.errors.JaxRuntimeError as error:
        needed = needed_bytes(str(error)) if "RESOURCE_EXHAUSTED" in str(error) else None
        if needed is None:
            raise
        return None, needed
