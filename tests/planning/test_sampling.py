"""Plans of an enhancement."""

import json
import runpy
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from pipelines.tiny_system import clip, tiny_system
from planning.tiny import needs_libtpu
from venhancer_jax.planning.sampling_plan import plan_sampling

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.venhancer import programs
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import plan_time
from venhancer_jax.planning import command, sampling
from venhancer_jax.planning.topology import find_topology
from venhancer_jax.sharding.mesh import inference_mesh

ROOT = Path(__file__).parents[2]
KEYS = {
    "fits", "bytes_per_chip", "limit_bytes", "flops", "collectives", "compile_seconds",
    "step_seconds_estimate",
}  # fmt: skip
NAMES = ["text", "encode", "denoise", "decode"]


def _shapes(tree: Any) -> list[tuple[tuple[int, ...], np.dtype]]:
    return [(np.shape(x), jax.dtypes.canonicalize_dtype(x.dtype)) for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"guidance_scale": 1.0, "window": 4},
        {"target_fps": Fraction(20), "interpolation": "flow", "window": 7},
    ],
    ids=["guided", "unguided", "flow"],
)
def test_what_is_planned_is_what_runs(changes: dict, monkeypatch: pytest.MonkeyPatch):
    system = tiny_system()
    called: dict[str, list] = {}

    def spy(name: str, function: Any) -> Any:
        def call(network: Any, *arguments: Any) -> Any:
            called.setdefault(name, []).append(_shapes(arguments))
            return function(network, *arguments)

        return call

    functions = {
        "text": programs.embed_text,
        "encode": programs.encode,
        "denoise": programs.denoise,
        "decode": programs.decode,
    }
    for name, function in functions.items():
        monkeypatch.setattr(programs, function.__name__, spy(name, function))
    options = VEnhancerOptions(up_scale=1.0, solver_mode="normal", steps=2, **changes)
    list(system.enhance(clip(6), rate=Fraction(10), options=options))

    monkeypatch.undo()
    planned = sampling.programs_of(
        tiny_system(mesh=inference_mesh(jax.devices()[:1])),
        sampling.Clip(
            space=system.plan_space(24, 32, options),
            time=plan_time(6, Fraction(10), options),
            options=options,
            frames=6,
        ),
    )
    assert [program.name for program in planned] == NAMES and called.keys() == set(NAMES)
    for program in planned:
        # The last piece that is decoded may be shorter.
        largest = max(called[program.name], key=lambda shapes: np.prod(shapes[-1][0]))
        assert _shapes(program.arguments) == largest, program.name
        if program.name != "decode":
            assert program.calls == len(called[program.name]), program.name
        assert program.function is functions[program.name]


def test_pieces_that_are_decoded():
    # Chunks of 5 that share 2, of which the last one has 6; tiles of the official sizes.
    chunk, tile, share = sampling._decoded(9, (90, 160), 1)
    assert (chunk, tile) == (6, (90, 160))
    assert share == pytest.approx((5 + 6) / 6)
    chunk, tile, share = sampling._decoded(1, (130, 160), 1)
    assert (chunk, tile) == (1, (72, 160))
    assert share == pytest.approx((72 + 70) / 72)
    # Ten chunks of five frames and one of six: two batches of eight devices, and one.
    assert sampling._decoded(36, (90, 160), 8)[2] == pytest.approx((5 + 5 + 6) / 6)


def test_a_step_is_split_over_the_pair_and_whole_frames():
    eight = {"data": 2, "fsdp": 1, "context": 4, "rows": 1}
    assert sampling.split(eight, 2, 32) == 8
    assert sampling.split(eight, 1, 32) == 4
    assert sampling.split(eight, 2, 9) == 2 * 9 / 3


@pytest.mark.parametrize("text", ["720x1280", "720x1280x0", "axbxc", "-1x2x3"])
def test_clips_that_are_none(text: str):
    with pytest.raises(InputError, match="HEIGHTxWIDTHxFRAMES"):
        sampling.parse_clip(text)


def test_a_clip_is_padded_as_the_pipeline_pads(config: ConfigDict, no_wheels: None):
    config = config.unlock()
    config.preset = "tiny"  # halves as often as the published networks
    system = sampling.abstract_system(config, find_topology("v5e-8"))
    found = sampling.clip_of(config, system, "720x1280x33")

    assert found.space.size == (720, 1280) and found.space.working_size == (720, 1280)
    assert found.window < 33 and len(found.time.take) == 33
    assert sampling.clip_of(config, system, "500x900x2").space.working_size == (528, 960)
    assert found.seconds == 33 / 24
    # Abstract, in bfloat16, but for the encoder of the VAE.
    params = {**system.denoiser.params, **system.vae.params}
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in params.values())
    assert {str(x.dtype) for x in system.denoiser.params.values()} == {"bfloat16"}
    assert {str(x.dtype) for x in params.values()} == {"bfloat16", "float32"}


def test_no_input_names_the_way_out(config: ConfigDict, no_wheels: None):
    with pytest.raises(InputError, match="--plan_clip=HEIGHTxWIDTHxFRAMES"):
        plan_sampling(config, find_topology("v5e-8"))


@needs_libtpu
def test_a_plan_that_fits(config: ConfigDict, tmp_path: Path, capsys: pytest.CaptureFixture):
    path = tmp_path / "plan.json"
    values = {"plan": "v5e-4", "plan_json": str(path), "plan_clip": "32x32x4"}

    assert command.plan_sample(config, values) == 0
    facts = json.loads(path.read_text())
    assert facts.keys() >= KEYS and facts["fits"] and facts["compiled"]
    assert list(facts["programs"]) == NAMES
    for each in facts["programs"].values():
        assert each.keys() >= KEYS
    denoise = facts["programs"]["denoise"]
    for key in ("flops", "collectives", "compile_seconds", "step_seconds_estimate"):
        assert facts[key] == denoise[key]
    # One frame from each neighbour for every temporal convolution.
    assert denoise["collectives"]["collective-permute"] > 0
    assert facts["chip_hours"]["minute_of_video"] > 0
    assert "FITS" in (text := capsys.readouterr().out) and "NOT" not in text
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def test_without_wheels_it_says_so(
    config: ConfigDict, no_wheels: None, tmp_path: Path, capsys: pytest.CaptureFixture
):
    path = tmp_path / "plan.json"
    values = {"plan": "v5e-8", "plan_json": str(path), "plan_clip": "48x64x9"}

    assert command.plan_sample(config, values) == 0
    facts = json.loads(path.read_text())
    assert facts.keys() >= KEYS and facts["fits"] and not facts["compiled"]
    assert facts["flops"] > 0 and facts["bytes_per_chip"] > 0
    out = capsys.readouterr().out
    assert "NOT COMPILED" in out and "venhancer-jax[plan]" in out


def test_what_does_not_fit_is_told_with_a_way_out(
    config: ConfigDict,
    no_wheels: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    values = {"plan": "v5e-4", "plan_json": "", "plan_clip": "256x256x32"}
    whole = plan_sampling(config, find_topology("v5e-4"), "256x256x32").programs["denoise"]
    # Room for the weights and for two thirds of the intermediates.
    room = whole.argument_bytes + whole.resident_bytes + round(0.67 * whole.temporary_bytes)
    monkeypatch.setattr(
        "venhancer_jax.planning.topology.Topology.limit_bytes", property(lambda _: room)
    )

    assert command.plan_sample(config, values) == 1
    plan = plan_sampling(config, find_topology("v5e-4"), "256x256x32")
    window, chips, smaller = (change.ask for change in plan.changes[:3])
    frames = int(window.rpartition("=")[2])
    assert 16 <= frames < 0.67 * 32 and chips.endswith("--plan=v5e-8")
    assert all(change.bytes_per_chip <= room for change in plan.changes[:3])
    out = capsys.readouterr().out
    assert "DOES NOT FIT" in out and f"Smallest change: {window}" in out

    # What is named is true: with these windows, on so many chips, of that size it fits.
    config = config.unlock()
    config.window = frames
    assert plan_sampling(config, find_topology("v5e-4"), "256x256x32").fits
    config.window = 32
    assert plan_sampling(config, find_topology("v5e-8"), "256x256x32").fits
    size = smaller.rpartition("=")[2].replace(",", "x")
    assert plan_sampling(config, find_topology("v5e-4"), f"{size}x32").fits


def test_exit_codes_of_the_command_line(capsys: pytest.CaptureFixture):
    main = runpy.run_path(str(ROOT / "sample.py"))["main"]

    assert main(["--plan=v5e-7"]) == 2
    assert "v5e-8" in capsys.readouterr().err
    assert main(["--plan_clip=720x1280x32"]) == 2
    assert "--plan=TOPOLOGY" in capsys.readouterr().err
    assert main(["--plan=v5e-8", "--plan_clip=720"]) == 2
    assert "720x1280x32" in capsys.readouterr().err
