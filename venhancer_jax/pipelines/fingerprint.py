"""What a compiled program depends on, as text: a program with an equal text can be used again."""

import dataclasses
import functools
import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib.version
import numpy as np

from venhancer_jax.models.functional import Network

_ROOT = Path(__file__).parents[1]
# Settings of JAX that change what a function is compiled to.
_SETTINGS = (
    "jax_default_device",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_enable_x64",
    "jax_exec_time_optimization_effort",
    "jax_numpy_dtype_promotion",
    "jax_threefry_partitionable",
    "jax_use_shardy_partitioner",
)
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_CPU_FACTS = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")


class NoFingerprintError(Exception):
    """A value that cannot be told apart from others in another process."""


def setting(name: str) -> Any:
    """A setting of JAX, as it is for this thread."""
    return getattr(jax.config, name)


def settings() -> tuple[Any, ...]:
    """Settings of JAX and the mesh in use, which are read while a function is traced."""
    values = map(setting, _SETTINGS)
    mesh = jax.sharding.get_mesh()
    devices = () if mesh.empty else tuple(mesh.device_ids.flat)
    return (*values, jax.sharding.get_abstract_mesh(), devices)


@functools.cache
def environment() -> str:
    """This package, the libraries below it, and the machine."""
    device = jax.devices()[0]
    facts = {
        "package": package_digest(),
        "python": platform.python_version_tuple()[:2],
        "jax": (jax.__version__, jaxlib.version.__version__, flax.__version__),
        "backend": (device.platform, device.client.platform_version),
        "devices": (device.device_kind, jax.device_count(), jax.process_count()),
        "system": (sys.platform, platform.machine()),
        "flags": [os.environ.get(name, "") for name in _FLAGS],
    }
    if device.platform == "cpu":
        facts["processor"] = processor(), os.cpu_count()
    return repr(facts)


@functools.cache
def package_digest() -> str:
    """Of all source files of the package: what they say decides what is compiled."""
    digest = hashlib.sha256()
    for path in sorted(_ROOT.rglob("*.py")):
        source = path.read_bytes()
        digest.update(f"{path.relative_to(_ROOT)} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def processor(facts: Path = Path("/proc/cpuinfo")) -> str:
    """Model and instructions of the processor: code for another one would crash, not complain.

    Args:
      facts: where Linux tells them; elsewhere the name of the machine stands in.
    """
    if not facts.exists():
        return f"{platform.processor()} of {platform.node()}"
    first, _, _ = facts.read_text().partition("\n\n")
    lines = (line.partition(":") for line in first.splitlines())
    return repr([(k.strip(), v.strip()) for k, _, v in lines if k.strip() in _CPU_FACTS])


def of_static(value: Any) -> str:
    """A static argument: constants, functions by name, configs, networks by how they are built.

    Raises:
      NoFingerprintError: anything else.
    """
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(of_static, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{of_static(k)}: {of_static(v)}' for k, v in value.items())}}}"
    if isinstance(value, functools.partial):
        return f"partial{of_static((value.func, value.args, value.keywords))}"
    if isinstance(value, Network):
        return f"Network({of_static(value.build)})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return f"{of_static(type(value))}{of_static(fields)}"
    return _of_named(value)


def _of_named(value: Any) -> str:
    """A class or function by its name, with the file it is in if that is not in the package."""
    name = getattr(value, "__qualname__", "<>")
    if "<" in name:  # a lambda, a local function, an instance
        raise NoFingerprintError(f"no name for {value!r}")
    file = getattr(sys.modules.get(value.__module__), "__file__", None)
    if file is None or _ROOT in Path(file).parents:
        return f"{value.__module__}.{name}"
    return f"{value.__module__}.{name} {_file_digest(file)}"


@functools.cache
def _file_digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def of_argument(value: Any) -> tuple[Any, ...]:
    """Shape, type and place of an array or number."""
    if isinstance(value, jax.Array):
        return value.shape, value.dtype, value.weak_type, value.sharding, value.committed
    kind = jax.typeof(value)
    return kind.shape, kind.dtype, kind.weak_type, None, False


def in_words(argument: tuple[Any, ...]) -> str:
    """What `of_argument` gives, as text with the numbers of the devices."""
    shape, dtype, weak_type, sharding, committed = argument
    mesh = getattr(sharding, "mesh", None)
    ids = [] if sharding is None else sorted(device.id for device in sharding.device_set)
    order = None if mesh is None else mesh.device_ids.tolist()
    return f"{dtype}{list(shape)} {weak_type} {committed} {sharding!r} {ids} {order}"
