"""Plans of an enhancement."""

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from ml_collections import ConfigDict
from pipelines.tiny_system import clip, tiny_system
from planning.tiny import V5E, needs_libtpu

from venhancer_jax.cli import plan_flags as command
from venhancer_jax.cli import sample
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import pieces, programs
from venhancer_jax.pipelines.config import enhancement_config, mesh_of, weights_of
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.pipelines.system import Clip, ProgramSpec, System
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.planning.program import ProgramStats, plan_program
from venhancer_jax.planning.sampling import (
    PlannedClip,
    find_clip,
    parse_clip,
    plan_sampling,
    suggest,
)
from venhancer_jax.planning.suggestions import SLACK
from venhancer_jax.planning.topology import Topology, fake_devices, find_topology
from venhancer_jax.sharding.mesh import inference_mesh
from venhancer_jax.sharding.params import shard_bytes

KEYS = {
    "fits", "bytes_per_chip", "limit_bytes", "flops", "collectives", "compile_seconds",
    "step_seconds_estimate", "mfu_estimate",
}  # fmt: skip
NAMES = ["text", "encode", "denoise", "decode"]


def _on(spec: ProgramSpec, topology: Topology) -> ProgramSpec:
    """Moves a program to the devices of a topology."""
    mesh = inference_mesh(topology.devices)
    arguments = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=NamedSharding(mesh, x.sharding.spec)
        ),
        spec.arguments,
    )
    return dataclasses.replace(spec, mesh=mesh, arguments=arguments)


def abstract(config: ConfigDict, chips: int = 1) -> System:
    mesh = mesh_of(config, fake_devices(chips, V5E, "tpu"))
    return find_system("venhancer").load_abstract(weights_of(config), mesh=mesh)


def _shapes(tree: Any) -> list[tuple[tuple[int, ...], np.dtype]]:
    return [(np.shape(x), jax.dtypes.canonicalize_dtype(x.dtype)) for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "guidance_scale": 1.0,
            "target_fps": Fraction(20),
            "interpolation": "flow",
            "window": 7,
        },
    ],
    ids=["guided", "unguided, flow"],
)
def test_what_is_planned_is_what_runs(changes: dict, monkeypatch: pytest.MonkeyPatch):
    """Functions, networks and shapes of a plan are those that a run calls with."""
    tiny = tiny_system()
    text = TextFeatures(tiny.text.config, tiny.text.load)  # with no features yet
    system = dataclasses.replace(tiny, text=text)
    calls: dict[str, list] = {}

    def spied(name: str, function: Any, static: int) -> Any:
        def call(*arguments: Any) -> Any:
            calls.setdefault(name, []).append((arguments[:static], _shapes(arguments[static:])))
            results = jax.eval_shape(lambda *rest: function(*arguments[:static], *rest),
                                     *arguments[static:])  # fmt: skip
            return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), results)

        return call

    functions = {
        "text": programs.embed_text,
        "encode": programs.encode,
        "denoise": programs.denoise,
        "decode": programs.decode,
    }
    for name, function in functions.items():
        attribute = "embed_text" if name == "text" else name
        static = 2 if name == "denoise" else 1
        monkeypatch.setattr(programs, attribute, spied(name, function, static))
    options = VEnhancerOptions(up_scale=1.0, solver_mode="normal", steps=2, **changes)
    list(system.enhance(clip(6), rate=Fraction(10), options=options))

    monkeypatch.undo()
    on_mesh = dataclasses.replace(system, mesh=inference_mesh(jax.devices()[:1]))
    plan = on_mesh.plan(Clip(frames=6, height=24, width=32, rate=Fraction(10)), options)
    planned = on_mesh.programs(plan, options)
    assert [spec.name for spec in planned] == NAMES and calls.keys() == set(NAMES)
    for spec in planned:
        # The last piece that is decoded may be shorter.
        static, largest = max(calls[spec.name], key=lambda call: np.prod(call[1][-1][0]))
        assert _shapes(spec.arguments) == largest, spec.name
        assert spec.static == static and spec.function is functions[spec.name]
        if spec.name != "decode":
            assert spec.calls == len(calls[spec.name]), spec.name


@pytest.mark.parametrize("chips", [1, 8])
def test_decoded_frames_count_on_the_chip_that_blends_them(config: ConfigDict, chips: int):
    system = abstract(config, chips)
    planned = find_clip(config, system, "2160x3840x32")
    encode, decode = planned.program("encode"), planned.program("decode")
    rows, columns = planned.plan.working_size
    frame = 4 * 3 * rows * columns
    frames = decode.arguments[1].shape[1]

    # Each chip blends the tiles of one chunk, fades it in, and holds the rest of the one before.
    assert decode.resident_bytes - encode.resident_bytes == 3 * frames * frame
    assert decode.arguments[1].shape[0] == chips
    assert decode.arguments[1].sharding.shard_shape(decode.arguments[1].shape)[0] == 1


def test_a_plan_counts_resident_arrays(config: ConfigDict, cpu: Topology):
    planned = find_clip(config, abstract(config), "64x64x4")
    spec = dataclasses.replace(planned.program("decode"), resident_bytes=2**34)
    assert not plan_program(_on(spec, cpu), cpu).fits


@needs_libtpu
def test_decoded_frames_are_sharded_by_chunk():
    shape = (8, 5, 32, 32, 3)
    with jax.set_mesh(inference_mesh(find_topology("v5e-8").devices)):
        compiled = pieces._zeros.lower(shape, axes=programs.PIECES).compile()
    assert compiled.output_shardings.shard_shape(shape) == (1, *shape[1:])


def test_pieces_that_are_decoded(config: ConfigDict):
    def decode(text: str, chips: int = 1):
        spec = find_clip(config, abstract(config, chips), text).program("decode")
        return spec.arguments[1].shape[1:4], spec.calls

    # A decoder of single frames decodes each by itself.
    assert decode("48x64x9") == ((1, 24, 32), 9)
    # Tiles of one size.
    assert decode("256x256x1") == ((1, 128, 68), 2)
    # Thirty-six frames for eight chips.
    assert decode("48x64x36", 8) == ((1, 24, 32), 5)


@pytest.mark.parametrize("text", ["720x1280", "720x1280x0", "axbxc", "-1x2x3"])
def test_clips_that_are_none(text: str):
    with pytest.raises(InputError, match="HEIGHTxWIDTHxFRAMES"):
        parse_clip(text)


@pytest.mark.slow
def test_a_clip_is_padded_as_the_pipeline_pads(config: ConfigDict):
    config = config.unlock()
    config.preset = "tiny"  # halves as often as the published networks
    system: Any = abstract(config, 8)
    planned = find_clip(config, system, "720x1280x33")

    assert planned.plan.output.size == planned.plan.working_size == (720, 1280)
    assert planned.plan.window < 33 and planned.plan.output.frames == 33
    assert find_clip(config, system, "500x900x2").plan.working_size == (528, 960)
    assert planned.plan.output.seconds == 33 / 24
    # Abstract, in bfloat16, but for the encoder of the VAE.
    params = {**system.denoiser.params, **system.vae.params}
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in params.values())
    assert {str(x.dtype) for x in system.denoiser.params.values()} == {"bfloat16"}
    assert {str(x.dtype) for x in params.values()} == {"bfloat16", "float32"}


def test_no_input_names_the_way_out(config: ConfigDict, cpu: Topology):
    with pytest.raises(InputError, match="--plan_clip=HEIGHTxWIDTHxFRAMES"):
        plan_sampling(config, cpu)


def test_a_plan_that_fits(
    config: ConfigDict, cpu: Topology, tmp_path: Path, capsys: pytest.CaptureFixture
):
    path = tmp_path / "plan.json"
    values = {"plan": "v5e-1", "plan_json": str(path), "plan_clip": "32x32x4"}

    assert command.plan_sample(config, values) == 0
    plan = json.loads(path.read_text())
    assert plan.keys() >= KEYS and plan["fits"] and plan["main_program"] == "denoise"
    assert list(plan["programs"]) == NAMES
    for each in plan["programs"].values():
        assert each.keys() >= KEYS
        memory = ("argument_bytes", "temporary_bytes", "resident_bytes")
        assert each["bytes_per_chip"] == sum(each[kind] for kind in memory)
    denoise = plan["programs"]["denoise"]
    for key in ("flops", "collectives", "compile_seconds", "step_seconds_estimate"):
        assert plan[key] == denoise[key]
    busy = denoise["mfu_estimate"] * denoise["step_seconds_estimate"]
    assert busy * V5E.peak_flops == pytest.approx(denoise["flops"])
    hours = sum(p["calls"] * p["step_seconds_estimate"] for p in plan["programs"].values()) / 3600
    assert plan["chip_hours"]["minute_of_video"] == pytest.approx(hours * 60 / (4 / 24))
    assert "FITS" in (text := capsys.readouterr().out) and "NOT" not in text
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def stats_of(planned: PlannedClip, name: str, temporary: int, room: int) -> ProgramStats:
    """Memory of a program that has `room` beside its arrays for `temporary` bytes."""
    spec = planned.program(name)
    arguments = shard_bytes(spec.arguments)
    return ProgramStats(
        argument_bytes=arguments, temporary_bytes=temporary, resident_bytes=spec.resident_bytes,
        limit_bytes=round((arguments + spec.resident_bytes + room) / SLACK) + 1, flops=1,
        flops_per_chip=1, memory_traffic=1, collectives={}, unknown_loops=0, compile_seconds=1,
        step_seconds_estimate=1, calls=1,
    )  # fmt: skip


def test_changes_that_would_make_it_fit(config: ConfigDict):
    planned = find_clip(config, abstract(config), "64x64x32")
    chips = fake_devices(1, V5E, "tpu")
    # Room for two thirds of the intermediates.
    stats = stats_of(planned, "denoise", 3 * 2**30, 2 * 2**30)
    found = suggest(
        "denoise", stats, planned, Topology("v5e-1", V5E, chips, "tpu"),
        lambda devices: abstract(config, len(devices)),
    )  # fmt: skip
    window, tiles, more, smaller, _ = found

    assert window.ask == "windows of 21 frames, --config.window=21"
    fewer = planned.with_options(window=21).program("denoise")
    counted = shard_bytes(fewer.arguments) + fewer.resident_bytes
    assert window.bytes_per_chip == counted + round(3 * 2**30 * 21 / 32)
    assert tiles.ask.startswith("tiles of ")
    assert more.ask == "more chips, --plan=v5e-4" and "25%" in more.basis
    assert smaller.ask.startswith("a smaller output, --config.target_size=")
    height, width = map(int, smaller.ask.rpartition("=")[2].split(","))
    working = planned.with_options(target_size=(height, width)).plan.working_size
    assert working[0] * working[1] <= 2 / 3 * 64 * 64
    assert all(
        each.bytes_per_chip <= SLACK * stats.limit_bytes for each in (window, tiles, more, smaller)
    )


# Latents of 256x256; tiles of 224 pixels still see all of them.
@pytest.mark.parametrize(("tile", "smaller"), [("none", 192), ("192", 96)])
def test_smaller_tiles_would_make_it_fit(tile: str, smaller: int):
    config = enhancement_config("upscale_a_video")
    config.preset, config.tile, config.tile_overlap = "debug", tile, 16
    mesh = mesh_of(config, fake_devices(1, V5E, "tpu"))
    system = find_system("upscale_a_video").load_abstract(weights_of(config), mesh=mesh)
    planned = find_clip(config, system, "1024x1024x3")
    stats = stats_of(planned, "decode", temporary=2**30, room=3 * 2**28)
    found = suggest(
        "decode", stats, planned,
        Topology("v5e-1", V5E, fake_devices(1, V5E, "tpu"), "tpu"), lambda devices: system,
    )  # fmt: skip
    tiles = next(found)
    assert tiles.ask == f"tiles of {smaller} pixels, --config.tile={smaller}"


@pytest.mark.slow
def test_buffers_of_decoded_frames_shrink_with_the_output(config: ConfigDict):
    planned = find_clip(config, abstract(config), "1080x1920x8")
    stats = stats_of(planned, "decode", 2**20, 0)
    topology = Topology("v5e-1", V5E, fake_devices(1, V5E, "tpu"), "tpu")
    smaller, _ = suggest(
        "decode", stats, planned, topology, lambda devices: abstract(config, len(devices))
    )
    assert smaller.ask == "a smaller output, --config.target_size=1026,1824"


@pytest.mark.slow  # a minute of compiling for TPUs
@needs_libtpu
def test_a_plan_for_four_chips(config: ConfigDict, tmp_path: Path):
    path = tmp_path / "plan.json"
    values = {"plan": "v5e-4", "plan_json": str(path), "plan_clip": "32x32x4"}
    assert command.plan_sample(config, values) == 0
    # One frame from each neighbour for every temporal convolution.
    assert json.loads(path.read_text())["collectives"]["collective-permute"] > 0


def test_exit_codes_of_the_command_line(capsys: pytest.CaptureFixture):
    assert sample.main(["--plan=v5e-7"]) == 2
    assert "v5e-8" in capsys.readouterr().err
    assert sample.main(["--plan_clip=720x1280x32"]) == 2
    assert "--plan=TOPOLOGY" in capsys.readouterr().err
    assert sample.main(["--plan=v5e-8", "--plan_clip=720"]) == 2
    assert "720x1280x32" in capsys.readouterr().err
