"""What an enhancement with a reference compiles, and how often it runs."""

import math
from fractions import Fraction

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.genve.options import GenVEOptions, GenVEWeights
from venhancer_jax.pipelines.genve.spec import SPEC
from venhancer_jax.pipelines.system import Clip, ProgramSpec
from venhancer_jax.sharding.mesh import AXES

MESH = Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1, 1), AXES)
CLIP = Clip(frames=20, height=16, width=24, rate=Fraction(24))


def programs_of(image: str = "", **changes) -> dict[str, ProgramSpec]:
    weights = GenVEWeights(preset="debug", image_checkpoint=image)
    system = SPEC.load_abstract(weights, mesh=MESH)
    options = GenVEOptions(up_scale=2.0, window=8, window_overlap=2, **changes)
    return {spec.name: spec for spec in system.programs(system.plan(CLIP, options), options)}


def test_programs_of_a_reference():
    found = programs_of(key_every=10)
    assert list(found) == ["text", "encode", "image", "flow", "texture", "denoise", "decode"]
    windows = found["texture"].calls
    assert windows > 1
    assert found["denoise"].calls == 14 * windows
    assert found["image"].calls == 30 * 2
    assert found["flow"].calls == 20
    texture = found["denoise"].arguments[-2]["texture"]
    computed = jax.eval_shape(
        lambda *inputs: found["texture"].function(*found["texture"].static, *inputs),
        *found["texture"].arguments,
    )
    assert (texture.shape, texture.dtype) == (computed.shape, computed.dtype)
    for name in ("flow", "denoise"):
        spec = found[name]
        shapes = jax.eval_shape(
            lambda *inputs, spec=spec: spec.function(*spec.static, *inputs), *spec.arguments
        )
        assert jax.tree.leaves(shapes)
    plain = programs_of(reference="none")
    assert list(plain) == ["text", "encode", "denoise", "decode"]
    more = found["denoise"].resident_bytes - plain["denoise"].resident_bytes
    raft = sum(math.prod(x.shape) * 4 for x in found["flow"].arguments[0].values())
    latents = 4 * 20 * 4 * math.prod(side // 4 for side in (32, 48))
    waiting = (windows - 1) * math.prod(texture.shape) * texture.dtype.itemsize
    assert more == raft + latents + waiting


def test_programs_without_a_network():
    assert "flow" not in programs_of(flow="dis")
    assert "image" not in programs_of(reference="a.png")
    with pytest.raises(InputError, match="Stable Diffusion"):
        programs_of(reference="sd21")
    found = programs_of("a_name", reference="sd21")
    assert found["image"].calls == 30
    assert found["image"].arguments[0] is not found["denoise"].arguments[0]
