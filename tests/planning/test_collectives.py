"""Transfers in the text of compiled programs: loops, fusions and asynchronous starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from planning.tiny import needs_libtpu

from venhancer_jax.planning.collectives import Collective, count_collectives
from venhancer_jax.planning.program import without_cache
from venhancer_jax.planning.topology import find_topology

# What compilers for TPU and GPU write, without what does not matter here: a loop of 7 rounds, an
# all-gather that is spread over two fusions, an all-reduce fused with a slice, and starts.
TEXT = """\
HloModule jit_f, is_scheduled=true, num_partitions=8

%add (x: bf16[], y: bf16[]) -> bf16[] {
  %x = bf16[]{:T(256)} parameter(0)
  %y = bf16[]{:T(256)} parameter(1)
  ROOT %sum = bf16[]{:T(256)} add(%x, %y)
}

%all-reduce-scatter.1 (in: bf16[64,128]) -> bf16[16,128] {
  %in = bf16[64,128]{1,0:T(8,128)(2,1)} parameter(0)
  %all-reduce.4 = bf16[64,128]{1,0:T(8,128)(2,1)} all-reduce(%in), channel_id=1, replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  ROOT %slice = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} dynamic-slice(%all-reduce.4), dynamic_slice_sizes={16,128}
}

%async_collective_fusion.1 (a: f32[4,10]) -> (f32[4,10], f32[16,10]) {
  %a = f32[4,10]{1,0} parameter(0)
  %all-gather.1 = f32[16,10]{1,0} all-gather(%a), channel_id=5, replica_groups=[2,4]<=[8], dimensions={0}
  ROOT %start = (f32[4,10]{1,0}, f32[16,10]{1,0}) custom-call(%all-gather.1), custom_call_target="AsyncCollectiveStart"
}

%async_collective_fusion.2 (b: f32[4,10]) -> (f32[4,10], f32[16,10]) {
  %b = f32[4,10]{1,0} parameter(0)
  %all-gather.2 = f32[16,10]{1,0} all-gather(%b), channel_id=5, replica_groups=[2,4]<=[8], dimensions={0}
  ROOT %go-on = (f32[4,10]{1,0}, f32[16,10]{1,0}) custom-call(%all-gather.2), custom_call_target="AsyncCollectiveDone"
}

%body (p: (s32[], bf16[64,128])) -> (s32[], bf16[64,128]) {
  %p = (s32[]{:T(128)}, bf16[64,128]{1,0:T(8,128)(2,1)}) parameter(0)
  %fusion.1 = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} fusion(%p), kind=kCustom, calls=%all-reduce-scatter.1
  %collective-permute-start = (bf16[2,128]{1,0:T(8,128)S(1)}, bf16[2,128]{1,0:T(8,128)S(1)}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%fusion.1), channel_id=1, source_target_pairs={{0,1},{1,2}}
  %collective-permute-done = bf16[2,128]{1,0:T(8,128)S(1)} collective-permute-done(%collective-permute-start)
  ROOT %tuple = (s32[]{:T(128)}, bf16[64,128]{1,0:T(8,128)(2,1)}) tuple(%p, %collective-permute-done)
}

%condition (p.1: (s32[], bf16[64,128])) -> pred[] {
  %constant.4 = s32[]{:T(128)} constant(7)
  %p.1 = (s32[]{:T(128)}, bf16[64,128]{1,0:T(8,128)(2,1)}) parameter(0)
  %index = s32[]{:T(128)} get-tuple-element(%p.1), index=0
  ROOT %lt = pred[]{:T(512)} compare(%index, %constant.4), direction=LT
}

ENTRY %main (arg: bf16[64,128]) -> bf16[64,128] {
  %arg = bf16[64,128]{1,0:T(8,128)(2,1)} parameter(0)
  %fusion.2 = (f32[4,10]{1,0}, f32[16,10]{1,0}) fusion(%arg), kind=kOutput, calls=%async_collective_fusion.1
  %fusion.3 = (f32[4,10]{1,0}, f32[16,10]{1,0}) fusion(%arg), kind=kOutput, calls=%async_collective_fusion.2
  %while.9 = (s32[]{:T(128)}, bf16[64,128]{1,0:T(8,128)(2,1)}) while(%arg), condition=%condition, body=%body, metadata={op_name="jit(f)/while"}
  %all-reduce-start.1 = f32[1,32]{1,0} all-reduce-start(%arg), channel_id=9, replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, to_apply=%add
  %all-reduce-done.1 = f32[1,32]{1,0} all-reduce-done(%all-reduce-start.1)
  %all-gather-start.1 = ((bf16[2,8]{1,0}, bf16[2,8]{1,0}), (bf16[8,8]{1,0}, bf16[8,8]{1,0})) all-gather-start(%arg, %arg), channel_id=11, replica_groups=[2,4]<=[8], dimensions={0}
  %all-gather-done.1 = (bf16[8,8]{1,0}, bf16[8,8]{1,0}) all-gather-done(%all-gather-start.1)
  ROOT %reduce-scatter.1 = f32[4]{0} reduce-scatter(%all-gather-done.1), channel_id=12, replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}, to_apply=%add
}
"""  # noqa: E501


def test_loops_fusions_and_starts():
    found, unknown = count_collectives(TEXT)

    assert unknown == 0
    assert found == {
        "all-gather": Collective(2, 4 * 16 * 10 + 2 * 2 * 8 * 8),
        "all-reduce": Collective(1, 2 * 4 * 32),
        # Seven in the loop, of the array before it is sliced; one by itself, among four.
        "reduce-scatter": Collective(8, 7 * 2 * 64 * 128 + 4 * 4 * 4),
        "collective-permute": Collective(7, 7 * 2 * 2 * 128),
    }


def test_the_length_of_a_loop_that_says_it():
    says = 'body=%body, backend_config={"known_trip_count":{"n":"3"}}'
    found, _ = count_collectives(TEXT.replace("body=%body,", f"{says},"))
    assert found["collective-permute"].count == 3


def test_a_loop_of_unknown_length_counts_once_and_is_reported():
    found, unknown = count_collectives(TEXT.replace("constant(7)", "parameter(1)"))
    assert (found["collective-permute"].count, unknown) == (1, 1)


def test_other_text():
    with pytest.raises(ValueError, match="ENTRY"):
        count_collectives("module @jit_f {}")


@needs_libtpu
def test_a_program_for_eight_chips():
    devices = np.array(find_topology("v5e-8").devices).reshape(2, 4)
    mesh = Mesh(devices, ("data", "context"))
    split = NamedSharding(mesh, PartitionSpec(None, "context"))
    rows = NamedSharding(mesh, PartitionSpec("context", None))

    def body(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        moved = jax.lax.with_sharding_constraint(jnp.sin(x), rows)
        return jax.lax.with_sharding_constraint(jnp.tanh(moved), split), None

    function = jax.jit(lambda x: jax.lax.scan(body, x, None, length=5)[0])
    x = jax.ShapeDtypeStruct((512, 1024), jnp.float32, sharding=split)
    with without_cache():
        text = function.lower(x).compile().as_text()
    assert text is not None
    found, unknown = count_collectives(text)

    # From columns to rows and back, a quarter of the array, five times; perhaps once outside.
    assert unknown == 0 and list(found) == ["all-to-all"]
    assert found["all-to-all"].count in (10, 11)
    assert found["all-to-all"].bytes == found["all-to-all"].count * 512 * 1024 * 4 // 4
