"""What the benchmarks share: times, memory, facts on the device, comparison with a saved result.

Every benchmark that calls `report` has the flags `--save=FILE.json` and `--baseline=FILE.json`.
"""

import ctypes
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.sharding.chips import peak_flops

_BASELINE = flags.DEFINE_string("baseline", None, "JSON of an earlier run to compare with")
_SAVE = flags.DEFINE_string("save", None, "file to write the JSON to")

# Ends of the names of what is measured and compared; `seconds` alone is a list of all times.
_COMPARED = ("_seconds", "peak_gib")
_MEASURED = (*_COMPARED, "seconds", "_per_second", "gflops", "mfu", "share", "loss")


def timing(call: Callable[[], Any], *, repeats: int, flops: int | None = None) -> dict[str, Any]:
    """Times of a call, each until its results are there; the first one, which warms up, apart.

    Args:
      call: gives arrays.
      repeats: timed calls after the first one.
      flops: of a call on all devices, if they are known.

    Returns:
      `first_seconds`, all `seconds` after it, their `median_seconds`, and `tflop`,
      `tflop_per_second` and `mfu`, None where the operations or the peak of the device are not
      known.
    """
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[1:])
    peak = peak_flops(jax.devices()[0].device_kind) * jax.device_count()
    return {
        "first_seconds": seconds[0],
        "seconds": seconds[1:],
        "median_seconds": median,
        "tflop": flops / 1e12 if flops else None,
        "tflop_per_second": flops / 1e12 / median if flops else None,
        "mfu": flops / median / peak if flops and peak else None,
    }


def device_facts() -> dict[str, Any]:
    """What was measured on."""
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "jax": jax.__version__,
    }


def peak_gib() -> float:
    """Peak memory so far of the device, or of the process where the device is the host."""
    stats = jax.devices()[0].memory_stats()
    if stats:
        return stats["peak_bytes_in_use"] / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def random_params(network: FunctionalModule, dtype: Any = None) -> Params:
    """Creates parameters of random values with standard deviation 0.02.

    The values repeat after a million: two billion draws would take longer than a measurement.

    Args:
      network: network to create parameters for.
      dtype: type of the parameters; by default their own.
    """
    draws = np.random.default_rng(0).standard_normal(2**20, dtype=np.float32) * np.float32(0.02)
    # Copied: a shared array would hold the draws beyond its own, up to a million.
    return {
        name: jnp.array(np.resize(draws, spec.shape), dtype or spec.dtype)
        for name, spec in network.shapes.items()
    }


def release_freed_memory() -> None:
    """Returns freed memory of the process to the system, where the C library can (glibc).

    The compiler frees most of what it takes, which would otherwise count as memory of the step.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def matmul_peak(dtype: Any = jnp.float32, *, size: int = 3072, repeats: int = 5) -> float:
    """Measures the operations per second of a matrix product, the best of several.

    Args:
      dtype: type of the matrices.
      size: rows and columns of the square matrices.
      repeats: number of timed products after one that warms up.

    Returns:
      Floating-point operations per second of one device.
    """
    matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(jnp.matmul)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[1:])


def report(facts: Mapping[str, Any]) -> None:
    """Prints facts as JSON, saves them and compares them, as the flags say."""
    told = dict(facts)
    if _BASELINE.value:
        baseline = json.loads(Path(_BASELINE.value).read_text())
        told["comparison"] = {"baseline": _BASELINE.value} | compared(facts, baseline)
    print(json.dumps(told, indent=2))
    if _SAVE.value:
        Path(_SAVE.value).write_text(json.dumps(dict(facts), indent=2) + "\n")


def compared(facts: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """A result beside an earlier one.

    Args:
      facts: now.
      baseline: then.

    Returns:
      `ratios` of seconds and memory, now to then, by their dotted names; and the names of other
      facts that `differ`, under which ratios may mean nothing.
    """
    now, then = dict(_flat(facts)), dict(_flat(baseline))
    ratios = {
        name: now[name] / then[name]
        for name in now
        if name.endswith(_COMPARED) and now[name] is not None and then.get(name)
    }
    fixed = {name for name in (*now, *then) if not name.endswith(_MEASURED)}
    return {"ratios": ratios, "differ": sorted(n for n in fixed if now.get(n) != then.get(n))}


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, list(value) if isinstance(value, tuple) else value
