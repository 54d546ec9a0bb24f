"""Jitted functions whose executables are kept in files: a later run neither traces nor compiles.

JAX's own compilation cache saves the compilation alone: to know whether it has a program, a run
has to trace and lower it first. Here the key is what goes into that: sources, versions, machine,
shapes, static arguments (`fingerprint`). `benchmarks.startup` measures what either takes.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import jax
from etils import epath
from jax.core import Tracer

from venhancer_jax.pipelines import executable_files, fingerprint
from venhancer_jax.pipelines.compilation import compile_to_keep
from venhancer_jax.pipelines.fingerprint import setting

R = TypeVar("R")
# Settings of JAX under which a jitted function does more than to run its executable.
_DEBUGGING = ("jax_disable_jit", "jax_debug_nans", "jax_debug_infs")


def program(*static: str) -> Callable[[Callable[..., R]], "Program[R]"]:
    """Decorates a function to be a `Program`; `static` names its static arguments."""
    return lambda function: Program(function, static)


class Program(Generic[R]):
    """A function under `jax.jit`, with its executables kept in files.

    They are used where JAX's compilation cache is (`startup.use_compilation_cache`). Without it,
    inside of other traced functions, with several processes, and with static arguments that have
    no name in other processes, this is `jax.jit` and nothing else.
    """

    def __init__(self, function: Callable[..., R], static: tuple[str, ...] = ()):
        self._function = function
        self._jitted = jax.jit(function, static_argnames=static)
        self._static = frozenset(static)
        self._names = tuple(inspect.signature(function).parameters)
        self._ready: dict[Any, Callable[..., R] | None] = {}
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        folder = executable_files.folder()
        if folder is None or jax.process_count() > 1 or any(map(setting, _DEBUGGING)):
            return self._jitted(*args, **kwargs)
        static, dynamic = self._split(args, kwargs)
        leaves, tree = jax.tree.flatten(dynamic)
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return self._jitted(*args, **kwargs)
        arguments = tuple(map(fingerprint.of_argument, leaves))
        key = static, tree, arguments, fingerprint.settings()
        if key not in self._ready:
            self._ready[key] = self._find(folder, key, dynamic, lambda: self.lower(*args, **kwargs))
        ready = self._ready[key]
        if ready is None:
            return self._jitted(*args, **kwargs)
        return ready(*dynamic[0], **dynamic[1])

    def trace(self, *args: Any, **kwargs: Any) -> jax.stages.Traced:
        """As of any jitted function; arguments may be `jax.ShapeDtypeStruct`."""
        return self._jitted.trace(*args, **kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> jax.stages.Lowered:
        """As of any jitted function; arguments may be `jax.ShapeDtypeStruct`."""
        return self._jitted.lower(*args, **kwargs)

    def _split(self, args: Any, kwargs: Any) -> tuple[Any, tuple[tuple[Any, ...], dict[str, Any]]]:
        """Static arguments with their names, and the others as an executable takes them."""
        named = [*zip(self._names, args, strict=False)]
        static = [(n, x) for n, x in (*named, *kwargs.items()) if n in self._static]
        positional = tuple(x for n, x in named if n not in self._static)
        by_name = {n: x for n, x in kwargs.items() if n not in self._static}
        return tuple(static), (positional, by_name)

    def _find(
        self, folder: epath.Path, key: Any, dynamic: Any, lower: Callable[[], jax.stages.Lowered]
    ) -> Callable[..., R] | None:
        """The executable from its file, or a new one, which is kept; None if it has no name."""
        try:
            text = self._fingerprint(*key)
        except fingerprint.NoFingerprintError:
            return None
        path = executable_files.path_of(folder, self._function.__name__, text)
        if (kept := executable_files.read(path, text, dynamic)) is not None:
            return kept
        compiled, whole = compile_to_keep(lower())
        if whole:
            executable_files.write(path, text, compiled)
        return compiled

    def _fingerprint(self, static: Any, tree: Any, arguments: Any, settings: Any) -> str:
        """All that the executable of a call depends on."""
        said = [fingerprint.environment(), fingerprint.of_static(self._function)]
        said += [fingerprint.of_static(static), repr(settings), str(tree)]
        return "\n".join([*said, *map(fingerprint.in_words, arguments)])
