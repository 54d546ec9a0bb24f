"""What one program takes on a topology."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from planning.tiny import V5E, needs_libtpu

from venhancer_jax.pipelines.system import ProgramSpec
from venhancer_jax.planning.collectives import Collective
from venhancer_jax.planning.program import (
    EFFICIENCY,
    LATENCY,
    ProgramStats,
    estimate_seconds,
    needed_bytes,
    plan_program,
    without_cache,
)
from venhancer_jax.planning.topology import fake_devices, find_topology
from venhancer_jax.planning.work import count_chip_flops
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.sharding.mesh import inference_mesh, replicated
from venhancer_jax.sharding.params import shard_bytes

GIB = 2**30


def plan(function, *shapes: tuple[int, ...], **facts) -> ProgramStats:
    topology = find_topology("v5e-8")
    mesh = inference_mesh(topology.devices)
    arguments = tuple(
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=replicated(mesh)) for shape in shapes
    )
    values = {"shards": 1, **facts}
    spec = ProgramSpec(
        name="p", function=jax.jit(function), arguments=arguments, mesh=mesh, **values
    )
    return plan_program(spec, topology)


@needs_libtpu
def test_a_program_that_fits():
    facts = plan(lambda x, y: x @ y, (256, 512), (512, 1024), calls=3, resident_bytes=GIB)

    assert facts.fits
    assert facts.argument_bytes == 4 * (256 * 512 + 512 * 1024)
    # The result, and some code.
    assert 4 * 256 * 1024 <= facts.temporary_bytes < 20 * 2**20
    assert facts.bytes_per_chip == facts.argument_bytes + facts.temporary_bytes + GIB
    assert facts.flops == facts.flops_per_chip == 2 * 256 * 512 * 1024
    assert facts.collectives == {} and facts.compile_seconds > 0 and facts.calls == 3


@needs_libtpu
def test_a_program_that_the_compiler_refuses():
    shape = (50_000, 50_000)
    facts = plan(lambda x, y: x[0, 0] + y[1, 1], shape, shape)

    assert not facts.fits
    needed = 2 * 4 * 50_000**2
    assert facts.bytes_per_chip == pytest.approx(needed, rel=0.02)
    assert facts.limit_bytes == int(15.75 * GIB)


@needs_libtpu
def test_the_work_of_a_chip_is_read_off_the_program():
    def function(x: jax.Array, w: jax.Array) -> jax.Array:
        y, _ = jax.lax.scan(lambda y, _: (jnp.tanh(y @ w), None), x, None, length=5)
        return jnp.einsum("bhc,bvc->bhv", y, y)

    facts = plan(function, (4, 128, 256), (256, 256), shards=3)

    # Nothing is sharded: each of the eight chips does all of it.
    assert facts.flops_per_chip == pytest.approx(facts.flops, rel=0.01)
    assert facts.collectives == {}


@needs_libtpu
def test_convolutions_of_a_chip_as_xla_counts_them():
    def function(x: jax.Array, kernel: jax.Array) -> jax.Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=numbers)

    place = replicated(inference_mesh(find_topology("v5e-8").devices))
    shapes = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=place)
        for shape in ((4, 33, 40, 128), (3, 3, 128, 256))
    ]
    with without_cache():
        compiled = jax.jit(function).lower(*shapes).compile()
    cost, text = compiled.cost_analysis(), compiled.as_text()
    assert cost is not None and text is not None
    # XLA counts some additions as well.
    assert count_chip_flops(text) == pytest.approx(cost["flops"], rel=0.03)


@needs_libtpu
def test_resident_arrays_count():
    assert not plan(lambda x: x + 1, (8, 128), resident_bytes=16 * GIB).fits


@needs_libtpu
def test_an_error_of_another_kind_is_not_hidden():
    topology = find_topology("v5e-8")
    mesh = inference_mesh(topology.devices)
    x = jax.ShapeDtypeStruct((8, 128), jnp.complex128, sharding=replicated(mesh))
    spec = ProgramSpec(
        name="p", function=jax.jit(lambda x: x[9]), arguments=(x, x), mesh=mesh, shards=1
    )
    with pytest.raises(TypeError):
        plan_program(spec, topology)


def test_shards():
    mesh = inference_mesh(fake_devices(8, V5E, "tpu"))
    split = NamedSharding(mesh, PartitionSpec("data", "context"))
    tree = {
        "split": jax.ShapeDtypeStruct((16, 16), jnp.bfloat16, sharding=split),
        "whole": jax.ShapeDtypeStruct((16, 16), jnp.float32),
    }
    assert shard_bytes(tree) == 2 * 16 * 16 // 8 + 4 * 16 * 16


def test_time_is_that_of_the_slower_of_work_and_memory():
    second = EFFICIENCY * 197e12
    assert estimate_seconds(V5E, flops=second, memory_bytes=0, collectives={}) == pytest.approx(1)
    assert estimate_seconds(V5E, flops=second, memory_bytes=2 * 819e9, collectives={}) == 2


def test_transfers_come_on_top():
    traffic = {"all-to-all": Collective(10, round(V5E.link_bandwidth))}
    found = estimate_seconds(V5E, flops=0, memory_bytes=819e9, collectives=traffic)
    assert found == pytest.approx(1 + 1 + 10 * LATENCY)


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO"
            " temporaries (84.00G) exceeds available HBM (15.75G).",
            84 * GIB,
        ),
        ("Ran out of memory in memory space hbm. Used 17.5G of 15.75G hbm.", 17.5 * GIB),
        ("Used 900.0M of 15.75G hbm.", 900 * 2**20),
        ("INTERNAL: something else", None),
    ],
)
def test_messages_of_the_compiler(message: str, needed: float | None):
    assert needed_bytes(message) == needed


def test_operations_as_xla_counts_them_where_there_is_no_loop():
    def function(x: jax.Array, kernel: jax.Array, w: jax.Array) -> jax.Array:
        y = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.einsum("bhwc,cd->bhwd", y, w)

    shapes = [
        jax.ShapeDtypeStruct(shape, jnp.float32)
        for shape in ((2, 34, 34, 64), (3, 3, 64, 128), (128, 256))
    ]
    cost = jax.jit(function).lower(*shapes).compile().cost_analysis()
    assert cost is not None
    assert count_flops(function, *shapes) == pytest.approx(cost["flops"], rel=0.01)
