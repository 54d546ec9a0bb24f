"""Counted operations, against hand counts."""

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.sharding.flops import count_flops


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


MATRIX = shape(3, 5), shape(5, 7)
PRODUCT = 2 * 3 * 5 * 7


def test_matrix_product():
    assert count_flops(jnp.matmul, *MATRIX) == PRODUCT


def test_batched_product_over_two_axes():
    function = lambda a, b: jnp.einsum("bijk,bjkn->bin", a, b)  # noqa: E731
    assert count_flops(function, shape(4, 3, 5, 6), shape(4, 5, 6, 7)) == 2 * 4 * 3 * 5 * 6 * 7


def test_convolution():
    def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    expected = 2 * (4 * 5 * 6) * 8 * (3 * 3 * 7)
    assert count_flops(conv, shape(4, 10, 12, 7), shape(3, 3, 7, 8)) == expected


def test_grouped_convolution():
    def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel, (1,), "SAME", feature_group_count=2)

    # [N, C, W] by [out, in / groups, W]
    assert count_flops(conv, shape(1, 6, 10), shape(4, 3, 5)) == 2 * 4 * 10 * 3 * 5


def test_other_operations_are_free():
    assert count_flops(lambda x: jnp.exp(x).sum() + x.max(), shape(9)) == 0


def test_scan_counts_its_body_as_often_as_it_runs():
    def function(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda c, _: (c @ c, None), x, None, length=11)[0]

    assert count_flops(function, shape(4, 4)) == 11 * 2 * 4**3


def test_map_is_a_scan():
    assert count_flops(lambda x: jax.lax.map(lambda a: a @ a, x), shape(6, 4, 4)) == 6 * 2 * 4**3


def test_nested_jit_and_remat_are_looked_into():
    inner = jax.jit(jnp.matmul)
    assert count_flops(jax.jit(lambda a, b: inner(a, b) + 1), *MATRIX) == PRODUCT
    assert count_flops(jax.checkpoint(lambda a, b: inner(a, b)), *MATRIX) == PRODUCT


def test_custom_gradients_are_looked_into():
    @jax.custom_vjp
    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        return a @ b

    product.defvjp(lambda a, b: (a @ b, None), lambda _, g: (g, g))
    assert count_flops(product, *MATRIX) == PRODUCT


def test_a_branch_counts_as_its_dearest():
    def function(flag: jax.Array, x: jax.Array) -> jax.Array:
        return jax.lax.cond(flag, lambda x: x @ x @ x, lambda x: x @ x, x)

    assert count_flops(function, jnp.array(True), shape(4, 4)) == 2 * 2 * 4**3


def test_keyword_arguments_and_arrays():
    found = count_flops(lambda a, *, b: a @ b, np.ones((3, 5)), b=np.ones((5, 7)))
    assert found == PRODUCT
