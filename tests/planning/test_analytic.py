"""Bytes that are alive at once, against hand counts."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from venhancer_jax.planning.analytic import activation_bytes, shard_bytes
from venhancer_jax.sharding.mesh import inference_mesh

X = jax.ShapeDtypeStruct((16, 16), jnp.float32)
ONE = 4 * 16 * 16


def test_a_product_holds_its_operand_and_its_result():
    assert activation_bytes(lambda x: (x @ x) @ x, X) == 2 * ONE


def test_elementwise_operations_write_over_what_is_not_needed():
    assert activation_bytes(lambda x: jnp.exp(jnp.sin(x @ x)), X) == ONE


def test_what_is_needed_later_is_held():
    def function(x: jax.Array) -> jax.Array:
        first = x @ x
        return (first @ x) @ x + first

    assert activation_bytes(function, X) == 3 * ONE


def test_a_loop_holds_all_results_and_one_body():
    def turn(c: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return c, (c @ c) @ c

    # Two products and five results.
    found = activation_bytes(lambda x: jax.lax.scan(turn, x, None, length=5), X)
    assert found == (2 + 5) * ONE


def test_remat_holds_less():
    def block(x: jax.Array) -> jax.Array:
        return jnp.tanh(jnp.tanh(x @ x) @ x)

    def loss(step, x: jax.Array) -> jax.Array:
        return step(step(step(x))).sum()

    everything = activation_bytes(jax.grad(lambda x: loss(block, x)), X)
    assert activation_bytes(jax.grad(lambda x: loss(jax.checkpoint(block), x)), X) < everything


def test_shards():
    class Device:
        platform = "tpu"

    mesh = inference_mesh([Device() for _ in range(8)])
    split = NamedSharding(mesh, PartitionSpec("data", "context"))
    tree = {"a": jax.ShapeDtypeStruct((16, 16), jnp.bfloat16, sharding=split), "b": X}
    assert shard_bytes(tree) == 2 * 16 * 16 // 8 + ONE
