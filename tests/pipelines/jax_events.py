"""What JAX says that it does, counted."""

import collections
import contextlib
from collections.abc import Iterator

import jax

TRACE = "/jax/core/compile/jaxpr_trace_duration"
COMPILE = "/jax/core/compile/backend_compile_duration"
CACHE_MISS = "/jax/compilation_cache/cache_misses"
CACHE_HIT = "/jax/compilation_cache/cache_hits"

_seen: collections.Counter[str] = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: _seen.update([event]))
jax.monitoring.register_event_duration_secs_listener(lambda event, _, **__: _seen.update([event]))


@contextlib.contextmanager
def events() -> Iterator[collections.Counter[str]]:
    """How often each event happens inside; filled at the end."""
    before, counted = _seen.copy(), collections.Counter()
    yield counted
    counted.update(_seen - before)
