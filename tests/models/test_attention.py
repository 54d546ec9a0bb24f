"""All implementations are the same attention; chunks bound its memory."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from venhancer_jax.models.kernels.splash import block_length
from venhancer_jax.models.layers import attention as attention_module
from venhancer_jax.models.layers.attention import attention, dense_attention
from venhancer_jax.models.layers.chunking import map_chunks, split_evenly
from venhancer_jax.sharding import mesh

HEADS, WIDTH = 2, 8


def inputs(batch: int, queries: int, keys: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    draw = np.random.default_rng(0).standard_normal
    return tuple(
        jnp.asarray(draw((1, batch, n, HEADS, WIDTH)), jnp.float32) for n in (queries, keys, keys)
    )


def textbook(query: jax.Array, key: jax.Array, value: jax.Array) -> np.ndarray:
    q, k, v = (np.asarray(x, np.float64) for x in (query, key, value))
    scores = np.einsum("bgnhd,bgmhd->bghnm", q, k) / np.sqrt(WIDTH)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bghnm,bgmhd->bgnhd", weights, v)


def largest_scores(
    batch: int, queries: int, keys: int, implementation: str, score_bytes: int
) -> tuple[int, bool]:
    """Bytes of the largest matrix of scores in the program, and whether it has loops."""
    of = [jax.ShapeDtypeStruct((1, batch, n, HEADS, WIDTH), "f4") for n in (queries, keys, keys)]
    jaxpr = jax.make_jaxpr(
        lambda *x: attention(*x, implementation=implementation, score_bytes=score_bytes)
    )(*of).jaxpr
    found, loops = [], []

    def visit(jaxpr: core.Jaxpr) -> None:
        for equation in jaxpr.eqns:
            out = equation.outvars[0].aval
            if equation.primitive.name == "dot_general" and out.shape[-1] == keys:
                found.append(4 * out.size)
            loops.append(equation.primitive.name == "scan")
            for inner in core.jaxprs_in_params(equation.params):
                visit(inner)

    visit(jaxpr)
    return max(found), any(loops)


@pytest.mark.parametrize(
    ("batch", "queries", "keys", "rows"),
    [
        (1, 13, 17, 1),  # one query at a time
        (1, 13, 17, 5),  # the last chunk is padded
        (6, 13, 17, 27),  # two batch elements at once
        (7, 5, 3, 29),  # the last chunk of a prime batch is filled up
        (2, 4, 3, 99),  # all at once
    ],
)
def test_chunked_is_attention(batch: int, queries: int, keys: int, rows: int):
    x = inputs(batch, queries, keys)
    budget = rows * 4 * HEADS * keys
    found = attention(*x, implementation="chunked", score_bytes=budget)
    np.testing.assert_allclose(found, textbook(*x), atol=1e-5)
    held, _ = largest_scores(batch, queries, keys, "chunked", budget)
    assert held <= budget


def test_chunks_are_few_and_even():
    row = 4 * 17  # scores of a query in one head, of which there are 12
    assert largest_scores(6, 13, 17, "chunked", 60 * row)[0] == 4 * 13 * row
    assert largest_scores(6, 13, 17, "chunked", 13 * row)[0] == 13 * row
    assert largest_scores(6, 13, 17, "chunked", 8 * row)[0] == 7 * row  # 13 queries and one padded


def test_a_budget_below_one_row_takes_one_row():
    assert largest_scores(2, 13, 17, "chunked", 1) == (4 * 17, True)


def test_xla_is_attention():
    x = inputs(2, 4, 3)
    np.testing.assert_allclose(attention(*x, implementation="xla"), textbook(*x), atol=1e-5)


def test_auto_chunks_beyond_the_budget():
    scores = 4 * 2 * 13 * HEADS * 17
    assert largest_scores(2, 13, 17, "auto", scores) == (scores, False)
    held, loops = largest_scores(2, 13, 17, "auto", scores - 1)
    assert held < scores
    assert loops
    assert largest_scores(2, 13, 17, "xla", 1) == (scores, False)


@pytest.mark.parametrize(
    ("cache", "fits"), [(6 * 2**20, 512), (None, 4096)], ids=["processor", "accelerator"]
)
def test_auto_keeps_scores_in_the_cache_of_a_processor(
    cache: int | None, fits: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(attention_module, "cache_bytes", lambda: cache)

    def has_loop(length: int) -> bool:
        x = [jax.ShapeDtypeStruct((1, 1, length, HEADS, WIDTH), "f4")] * 3
        return "scan" in str(jax.make_jaxpr(lambda *x: attention(*x))(*x))

    assert not has_loop(fits)  # 2 and 128 MiB of scores
    assert has_loop(2 * fits)


def test_compiled_memory_is_bounded():
    of = [jax.ShapeDtypeStruct((1, 1, 1024, HEADS, WIDTH), "f4")] * 3
    budget = 256 * 1024

    def scratch(implementation: str) -> int:
        function = jax.jit(
            lambda *x: attention(*x, implementation=implementation, score_bytes=budget)
        )
        memory = function.lower(*of).compile().memory_analysis()
        return memory.temp_size_in_bytes

    # 8 MiB of scores against 0.25 MiB, and 0.06 MiB for each array beside them.
    assert scratch("xla") > 8 * 2**20
    assert scratch("chunked") < 4 * 2**20


def test_half_precision_keeps_its_type():
    x = tuple(a.astype(jnp.bfloat16) for a in inputs(1, 13, 17))
    found = attention(*x, implementation="chunked", score_bytes=800)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype("f4"), textbook(*x), atol=0.02)


@pytest.mark.parametrize(
    ("queries", "keys"),
    [(300, 517), (128, 256), (1500, 130)],  # padded on both sides, on none, in several blocks
)
def test_splash_is_attention(queries: int, keys: int):
    x = inputs(2, queries, keys)
    found = attention(*x, implementation="splash")
    np.testing.assert_allclose(found, textbook(*x), atol=1e-5)


def test_splash_carries_no_table_of_its_blocks():
    x = jax.ShapeDtypeStruct((1, 1, 16_384, 1, 512), jnp.bfloat16)
    traced = jax.make_jaxpr(lambda *x: attention(*x, implementation="splash"))(x, x, x)
    assert sum(np.size(constant) for constant in traced.consts) < 1024


@pytest.mark.slow
def test_splash_has_the_gradient_of_attention():
    x = inputs(1, 130, 200)

    def gradients(implementation: str) -> tuple[jax.Array, ...]:
        total = lambda *x: jnp.square(attention(*x, implementation=implementation)).sum()  # noqa: E731
        return jax.grad(total, argnums=(0, 1, 2))(*x)

    for splash, xla in zip(gradients("splash"), gradients("xla"), strict=True):
        np.testing.assert_allclose(splash, xla, atol=1e-5)


@pytest.mark.parametrize("implementation", ["xla", "chunked", "splash"])
def test_groups_may_share_their_keys(implementation: str):
    query, key, value = inputs(3, 13, 17)
    shared = key[:, :1], value[:, :1]
    repeated = (jnp.repeat(x, 3, axis=1) for x in shared)
    found = attention(query, *shared, implementation=implementation, score_bytes=2000)
    np.testing.assert_allclose(found, textbook(query, *repeated), atol=1e-5)


def test_chunks_keep_no_scores_for_the_gradient():
    of = [jax.ShapeDtypeStruct((1, 16, 256, HEADS, WIDTH), "f4")] * 3
    budget = 4 * HEADS * 256 * 256

    def scratch(implementation: str) -> int:
        total = lambda *x: attention(  # noqa: E731
            *x, implementation=implementation, score_bytes=budget
        ).sum()
        compiled = jax.jit(jax.grad(total, argnums=(0, 1, 2))).lower(*of).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # Scores of all groups are 8 MiB.
    assert scratch("xla") > 8 * 2**20
    assert scratch("chunked") < 4 * 2**20


@pytest.mark.parametrize(
    ("device", "capability", "dtype", "keys", "kernel"),
    [
        (("tpu", "TPU v5 lite"), None, "float32", 1024, "splash"),
        (("tpu", "TPU v6 lite"), None, "bfloat16", 1024, "splash"),
        (("tpu", "TPU v5 lite"), None, "bfloat16", 77, None),
        (("gpu", "NVIDIA H200"), "9.0", "bfloat16", 1024, "cudnn"),
        (("gpu", "NVIDIA H200"), "9.0", "float16", 1024, "cudnn"),
        (("gpu", "NVIDIA H200"), "9.0", "float32", 1024, None),
        (("cuda", "NVIDIA A100-SXM4-80GB"), "8.0", "bfloat16", 1024, "cudnn"),
        (("gpu", "NVIDIA L40S"), "8.9", "bfloat16", 1024, "cudnn"),
        (("gpu", "NVIDIA B200"), "10.0", "float16", 1024, "cudnn"),
        (("gpu", "Tesla V100-SXM2-16GB"), "7.0", "float16", 1024, None),
        (("cpu", "cpu"), None, "bfloat16", 1024, None),
    ],
)
def test_auto_takes_the_kernel_of_the_device(
    device: tuple[str, str],
    capability: str | None,
    dtype: str,
    keys: int,
    kernel: str | None,
    monkeypatch: pytest.MonkeyPatch,
):
    chosen = []
    attached = types.SimpleNamespace(compute_capability=capability)
    for module in (attention_module, mesh):
        monkeypatch.setattr(module, "target_device", lambda: device)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu" if capability else device[0])
    monkeypatch.setattr(jax, "local_devices", lambda: [attached])

    def kernel_named(name: str):
        def fake(query: jax.Array, *_, implementation: str = name, **__) -> jax.Array:
            chosen.append(implementation)
            return query

        return fake

    monkeypatch.setattr(attention_module, "splash_attention", kernel_named("splash"))
    monkeypatch.setattr(attention_module, "dense_attention", kernel_named("xla"))
    monkeypatch.setattr(jax.nn, "dot_product_attention", kernel_named("unknown"))

    attention(*(x.astype(dtype) for x in inputs(1, 8, keys)))
    assert chosen == [kernel or "xla"]


def test_no_cudnn_for_a_gpu_that_is_not_attached(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mesh, "target_device", lambda: ("cuda", "NVIDIA H100"))
    assert mesh.cuda_capability() == 0


def test_causal_attention_sees_no_later_key():
    query, key, value = (jnp.asarray(x[0, 0].swapaxes(0, 1)) for x in inputs(1, 9, 9))
    out = dense_attention(query, key, value, is_causal=True)
    for n in (0, 4, 8):
        seen = dense_attention(query[:, n : n + 1], key[:, : n + 1], value[:, : n + 1])
        np.testing.assert_allclose(out[:, n], seen[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("length", "longest", "block"),
    [
        (14400, 1024, 768),
        (3680, 1024, 768),
        (260, 1024, 384),
        (100, 1024, 128),
        (256, 256, 256),
        (114_304, 256, 256),
    ],
)
def test_blocks_waste_little(length: int, longest: int, block: int):
    assert block_length(length, longest) == block


def test_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="attention 'flash': expected one of"):
        attention(*inputs(1, 2, 2), implementation="flash")


@pytest.mark.parametrize(
    ("length", "at_most", "chunks"),
    # Whole chunks; one; padded; single entries; whole ones though fewer would do with padding.
    [(12, 5, (3, 4)), (12, 100, (1, 12)), (7, 6, (2, 4)), (6, 0, (6, 1)), (20, 9, (4, 5))],
)
def test_even_chunks(length: int, at_most: int, chunks: tuple[int, int]):
    assert split_evenly(length, at_most) == chunks


def test_loops_of_chunks_hold_no_results_before_they_start():
    def call(x: jax.Array) -> jax.Array:
        for _ in range(8):
            x = map_chunks(jnp.sin, [x], 64)
        return x

    x = jax.ShapeDtypeStruct((1024, 64), jnp.float32)
    memory = jax.jit(call).lower(x).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 5 * x.size * 4
