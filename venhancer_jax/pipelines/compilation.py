"""Compiling a program such that its executable can be used by other processes."""

import contextlib
from collections.abc import Iterator

import jax
from jax.experimental.compilation_cache import compilation_cache

_EVENT = "/jax/core/compile/backend_compile_duration"
_compilations = 0


def compile_to_keep(lowered: jax.stages.Lowered) -> tuple[jax.stages.Compiled, bool]:
    """The compiled program, and whether its executable is whole: can be written and read again.

    On a CPU it is not if it came from JAX's compilation cache (the machine code stays behind when
    it is written a second time) or calls functions of this process, which another one need not
    have loaded.
    """
    if jax.default_backend() != "cpu":
        return lowered.compile(), True
    before = _compilations
    with _without_cache():
        compiled = lowered.compile()
    return compiled, _compilations > before and "custom-call" not in (compiled.as_text() or "")


@contextlib.contextmanager
def _without_cache() -> Iterator[None]:
    # JAX asks for the setting once, and again after a reset.
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
        compilation_cache.reset_cache()


def _heard(event: str, duration_secs: float, **kwargs: str | int) -> None:
    del duration_secs, kwargs
    global _compilations
    _compilations += event == _EVENT


jax.monitoring.register_event_duration_secs_listener(_heard)
