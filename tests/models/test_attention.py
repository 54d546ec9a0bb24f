"""All implementations are the same attention; chunks bound its memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from venhancer_jax.models.kernels.splash import block_length
from venhancer_jax.models.layers import attention as attention_module
from venhancer_jax.models.layers.attention import attention
from venhancer_jax.models.layers.chunking import split_evenly

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
    row = 4 * HEADS * 17
    assert largest_scores(6, 13, 17, "chunked", 30 * row)[0] == 26 * row
    assert largest_scores(6, 13, 17, "chunked", 12 * row)[0] == 7 * row  # of 13 and one padded
    assert largest_scores(6, 13, 17, "chunked", 4 * row)[0] == 4 * row


def test_a_budget_below_one_row_takes_one_row():
    assert largest_scores(2, 13, 17, "chunked", 1) == (4 * HEADS * 17, True)


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


def test_auto_is_the_default():
    of = [jax.ShapeDtypeStruct((1, 1, 4096, HEADS, WIDTH), "f4")] * 3
    twice = [jax.ShapeDtypeStruct((1, 1, 8192, HEADS, WIDTH), "f4")] * 3
    assert "scan" not in str(jax.make_jaxpr(attention)(*of))  # 128 MiB of scores
    assert "scan" in str(jax.make_jaxpr(attention)(*twice))  # 512 MiB


@pytest.mark.parametrize(("batch", "length"), [(1, 1024), (64, 128)])
def test_compiled_memory_is_bounded(batch: int, length: int):
    of = [jax.ShapeDtypeStruct((1, batch, length, HEADS, WIDTH), "f4")] * 3
    budget = 256 * 1024

    def scratch(implementation: str) -> int:
        function = jax.jit(
            lambda *x: attention(*x, implementation=implementation, score_bytes=budget)
        )
        memory = function.lower(*of).compile().memory_analysis()
        return memory.temp_size_in_bytes

    # 8 MiB of scores, and 0.06 or 0.5 MiB of everything else.
    assert scratch("xla") > 8 * 2**20
    assert scratch("chunked") < 2 * 2**20


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
    ("device", "dtype", "keys", "kernel"),
    [
        (("tpu", "TPU v5 lite"), "float32", 1024, "splash"),
        (("tpu", "TPU v6 lite"), "bfloat16", 1024, "splash"),
        (("tpu", "TPU v5 lite"), "bfloat16", 77, None),
        (("gpu", "NVIDIA H200"), "bfloat16", 1024, "cudnn"),
        (("gpu", "NVIDIA H200"), "float32", 1024, None),
        (("gpu", "NVIDIA A100-SXM4-80GB"), "bfloat16", 1024, None),
        (("cpu", "cpu"), "bfloat16", 1024, None),
    ],
)
def test_auto_takes_the_kernel_of_the_device(
    device: tuple[str, str],
    dtype: str,
    keys: int,
    kernel: str | None,
    monkeypatch: pytest.MonkeyPatch,
):
    taken = []
    monkeypatch.setattr(attention_module, "target_device", lambda: device)
    monkeypatch.setattr(jax, "default_backend", lambda: device[0])
    monkeypatch.setattr(attention_module, "splash_attention", lambda q, k, v: took("splash", q))
    monkeypatch.setattr(
        jax.nn,
        "dot_product_attention",
        lambda q, k, v, implementation: took(implementation, q),
    )

    def took(name: str, query: jax.Array) -> jax.Array:
        taken.append(name)
        return query

    attention(*(x.astype(dtype) for x in inputs(1, 8, keys)))
    assert taken == [kernel or "xla"]


@pytest.mark.parametrize(
    ("length", "longest", "block"),
    [(14400, 1024, 768), (3680, 1024, 768), (260, 1024, 384), (100, 1024, 128), (256, 256, 256)],
)
def test_blocks_waste_little(length: int, longest: int, block: int):
    assert block_length(length, longest) == block


def test_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="attention 'flash': expected one of"):
        attention(*inputs(1, 2, 2), implementation="flash")


@pytest.mark.parametrize(
    ("length", "at_most", "chunks"),
    [(12, 5, (3, 4)), (12, 100, (1, 12)), (7, 6, (2, 4)), (6, 0, (6, 1))],
)
def test_even_chunks(length: int, at_most: int, chunks: tuple[int, int]):
    assert split_evenly(length, at_most) == chunks
