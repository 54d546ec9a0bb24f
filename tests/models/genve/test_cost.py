"""Operations and memory of the attention to a reference at 720p, without running it."""

import jax
import jax.numpy as jnp
import pytest

from venhancer_jax.models.functional import Constructor, functionalize
from venhancer_jax.models.genve import local_attention
from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.genve.local_attention import LocalAwareCrossAttention
from venhancer_jax.planning.estimate import activation_bytes
from venhancer_jax.sharding.flops import count_flops

GIB = 2**30
CALL = 258e12  # operations of VEnhancer's networks for a guidance pair of 32 frames
NETWORK = functionalize(Constructor(LocalAwareCrossAttention, GenVEConfig(dtype=jnp.bfloat16)))
PARAMS = {n: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16) for n, x in NETWORK.shapes.items()}


def latents(frames: int, rows: int = 90, columns: int = 160) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, frames, rows, columns, 4), jnp.float32)


@pytest.fixture(autouse=True)
def _as_on_an_accelerator(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_attention, "cache_bytes", lambda: None)


def test_operations():
    texture = count_flops(NETWORK, PARAMS, latents(32), latents(32))
    features = jax.ShapeDtypeStruct((2, 32, 45, 80, 320), jnp.bfloat16)
    fold = count_flops(lambda p, x: NETWORK.bind(p).fold(x), PARAMS, features)

    # Q K^T and the weighted values, four projections of a patch and two convolutions.
    patches = 32 * 45 * 80
    assert texture == 4 * patches * 45 * 80 * 320 + 2 * patches * 320 * (3 * 320 + 2 * 16)
    assert fold == 2 * 2 * patches * 320 * 4 * 320
    assert texture < 0.01 * CALL
    assert fold < 0.01 * CALL / 10


def test_memory_is_bounded():
    """Scores of one frame at a time, or less: the rest grows with frames, not with their square."""
    needed = {
        sides: activation_bytes(NETWORK, PARAMS, *(latents(16, *sides),) * 2)
        for sides in ((90, 160), (180, 320))
    }
    features = 2 * 16 * 45 * 80 * 320  # bytes of all patches at 720p

    assert 8 * features < GIB
    assert needed[90, 160] < 8 * features + GIB
    assert needed[180, 320] < 4 * 8 * features + GIB
