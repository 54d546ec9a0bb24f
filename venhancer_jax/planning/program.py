"""Compiles one function for a topology and tells what it takes there."""

import contextlib
import dataclasses
import functools
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from venhancer_jax.pipelines.system import ProgramSpec
from venhancer_jax.planning.analytic import activation_bytes
from venhancer_jax.planning.collectives import Collective, count_collectives
from venhancer_jax.planning.roofline import step_seconds
from venhancer_jax.planning.topology import Topology
from venhancer_jax.planning.work import count_chip_flops
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.sharding.params import shard_bytes

# Autotuning measures on the GPU, which is not there; without it Triton may be given tiles that it
# cannot make.
_COMPILER_OPTIONS = {
    "cuda": {"xla_gpu_autotune_level": 0, "xla_gpu_enable_triton_gemm": False},
    "tpu": {},
}
# A quarter of the time to compile; memory and transfers come out much the same.
_QUICK = {"exec_time_optimization_effort": -1.0}
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# "... HLO temporaries (84.00G) exceeds available HBM (15.75G)", "Used 17.5G of 15.75G hbm"
_NEEDED = (
    re.compile(r"memory required for [^(]*\(([\d.]+)([KMGT]?)\)", re.IGNORECASE),
    re.compile(r"Used ([\d.]+)([KMGT]?)i?B? of [\d.]+[KMGT]?i?B? hbm", re.IGNORECASE),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramStats:
    """What a program takes.

    Attributes:
      name: of the program.
      compiled: whether it was compiled, or refused by the compiler; otherwise all is estimated.
      argument_bytes: on one chip.
      temporary_bytes: on one chip: intermediates, results that no argument gives its place, code.
      resident_bytes: on one chip, of what else lies there.
      limit_bytes: of one chip.
      flops: of one run, on all chips together.
      flops_per_chip: the same on one chip; their ratio is what the work is split into.
      memory_traffic: bytes that one chip reads and writes, loop bodies once.
      collectives: transfers by kind; empty if it could not be compiled.
      unknown_loops: whose transfers are counted once as their length is not known.
      compile_seconds: with tracing.
      step_seconds_estimate: of one run.
      calls: how often it runs.
    """

    name: str
    compiled: bool
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
        """All that has to lie on one chip."""
        return self.argument_bytes + self.temporary_bytes + self.resident_bytes

    @property
    def fits(self) -> bool:
        """Whether that is possible."""
        return self.bytes_per_chip <= self.limit_bytes


def plan_program(program: ProgramSpec, topology: Topology, *, quick: bool = False) -> ProgramStats:
    """Compiles a program for a topology; without its compiler, estimates.

    A program that the compiler refuses because it is too large has facts as well.

    Args:
      program: of a run.
      topology: to compile for.
      quick: compile with the least effort, where the compiler knows of such.
    """
    start = time.perf_counter()
    function = functools.partial(program.function, *program.static)
    arguments = shard_bytes(program.arguments)
    collectives, unknown, traffic, seen = {}, 0, None, 0
    if topology.missing:
        flops = count_flops(function, *_without_shardings(program.arguments))
        temporary = round(activation_bytes(function, *program.arguments) / program.shards)
        seconds = 0.0
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
            collectives, unknown = count_collectives(text)
            # On GPUs most of the work is in library calls.
            seen = count_chip_flops(text) if topology.platform == "tpu" else 0
            traffic = (compiled.cost_analysis() or {}).get("bytes accessed")
    # What the text does not show is at least split evenly.
    per_chip = max(seen, flops / len(topology.devices)) if seen else flops / program.shards
    traffic = traffic or arguments + 2 * temporary
    return ProgramStats(
        name=program.name,
        compiled=not topology.missing,
        argument_bytes=arguments,
        temporary_bytes=temporary,
        resident_bytes=program.resident_bytes,
        limit_bytes=topology.limit_bytes,
        flops=flops,
        flops_per_chip=per_chip,
        memory_traffic=traffic,
        collectives=collectives,
        unknown_loops=unknown,
        compile_seconds=seconds,
        step_seconds_estimate=step_seconds(
            topology.chip, flops=per_chip, memory_bytes=traffic, collectives=collectives
        ),
        calls=program.calls,
    )


def needed_bytes(message: str) -> int | None:
    """What a program needs by the compiler's message that there is not as much; None if no such."""
    for pattern in _NEEDED:
        if found := pattern.search(message):
            return round(float(found.group(1)) * _UNITS[found.group(2).upper()])
    return None


def _compile(program: ProgramSpec, platform: str, quick: bool) -> tuple[Any, int]:
    """The compiled program; or None and the bytes that it needs, which are too many."""
    options = _COMPILER_OPTIONS[platform] | (_QUICK if quick and platform == "tpu" else {})
    traced = program.function.trace(*program.static, *program.arguments)
    try:
        lowered = traced.lower(lowering_platforms=(platform,))
        with kept_nowhere():
            return lowered.compile(compiler_options=options), 0
    except jax.errors.JaxRuntimeError as error:
        needed = needed_bytes(str(error)) if "RESOURCE_EXHAUSTED" in str(error) else None
        if needed is None:
            raise
        return None, needed


@contextlib.contextmanager
def kept_nowhere() -> Iterator[None]:
    """A program for devices that are not there could be kept, but not be read again."""
    least = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[least]
    jax.config.update(least, 1e9)
    try:
        yield
    finally:
        jax.config.update(least, before)


def _without_shardings(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
