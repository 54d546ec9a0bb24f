"""Bytes that are alive together, against hand counts; plans without a compiler."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from planning.tiny import V5E

from venhancer_jax.pipelines.system import ProgramSpec
from venhancer_jax.planning.estimate import activation_bytes
from venhancer_jax.planning.program import plan_program
from venhancer_jax.planning.topology import Topology, fake_devices
from venhancer_jax.sharding.mesh import inference_mesh

X = jax.ShapeDtypeStruct((16, 16), jnp.float32)
ONE = 4 * 16 * 16


def test_a_product_needs_its_operand_and_its_result():
    assert activation_bytes(lambda x: (x @ x) @ x, X) == 2 * ONE


def test_elementwise_operations_are_in_place():
    assert activation_bytes(lambda x: jnp.exp(jnp.sin(x @ x)), X) == ONE


def test_what_is_used_later_stays():
    def function(x: jax.Array) -> jax.Array:
        first = x @ x
        return (first @ x) @ x + first

    assert activation_bytes(function, X) == 3 * ONE


def test_a_loop_holds_all_results_and_one_body():
    def body(c: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return c, (c @ c) @ c

    # Two products and five results.
    found = activation_bytes(lambda x: jax.lax.scan(body, x, None, length=5), X)
    assert found == (2 + 5) * ONE


def test_remat_needs_less():
    def block(x: jax.Array) -> jax.Array:
        return jnp.tanh(jnp.tanh(x @ x) @ x)

    def loss(step, x: jax.Array) -> jax.Array:
        return step(step(step(x))).sum()

    everything = activation_bytes(jax.grad(lambda x: loss(block, x)), X)
    assert activation_bytes(jax.grad(lambda x: loss(jax.checkpoint(block), x)), X) < everything


@pytest.mark.parametrize("shards", [1, 8])
def test_a_program_without_its_compiler(shards: int):
    topology = Topology("v5e-8", V5E, fake_devices(8, V5E, "tpu"), "tpu", missing="pip install x")
    mesh = inference_mesh(topology.devices)
    sharding = NamedSharding(mesh, PartitionSpec("data", "context"))
    x = jax.ShapeDtypeStruct((16, 16), jnp.float32, sharding=sharding)
    spec = ProgramSpec(
        name="p", function=jax.jit(lambda x: (x @ x) @ x), arguments=(x,), mesh=mesh, shards=shards
    )
    stats = plan_program(spec, topology)
    assert stats.argument_bytes == ONE // 8
    assert stats.temporary_bytes == 2 * ONE // shards
    assert stats.flops == 2 * 2 * 16**3 and stats.flops_per_chip == stats.flops / shards
