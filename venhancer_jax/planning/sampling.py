"""Plans an enhancement: what its programs take, and what to change where they do not fit."""

import dataclasses
from collections.abc import Iterable
from fractions import Fraction

from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import mesh_of, options_of, system_of, weights_of
from venhancer_jax.pipelines.jobs import check_jobs
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.pipelines.system import Clip, System
from venhancer_jax.planning.plan import Plan, largest
from venhancer_jax.planning.program import plan_program
from venhancer_jax.planning.roofline import ASSUMPTIONS
from venhancer_jax.planning.suggestions import PlannedClip, Suggestion, sampling_suggestions
from venhancer_jax.planning.topology import Topology

# Rate of a clip that is described by its size.
DEFAULT_RATE = Fraction(24)
_NOTES = (
    "the weights of all networks but the text encoder stay on every chip (split over fsdp), beside"
    " the latents of the whole clip",
    "where the compiled program does not tell (GPUs, nothing compiled): the text encoder runs on"
    " every chip alike, all else is split evenly",
)


def plan_sampling(
    config: ConfigDict, topology: Topology, described: str = "", *, quick: bool = False
) -> Plan:
    """Plans an enhancement.

    Args:
      config: config of `enhancement_config`.
      topology: chips to run on.
      described: output as `HEIGHTxWIDTHxFRAMES`; empty for the input of the config.
      quick: compile with the least effort, where the compiler knows of such.

    Raises:
      InputError: a wrong value.
    """
    spec, weights = find_system(system_of(config)), weights_of(config)
    system = spec.load_abstract(weights, mesh=mesh_of(config, topology.devices))
    assert system.mesh is not None
    planned = find_clip(config, system, described)
    plan, output = planned.plan, planned.plan.output
    programs = {}
    for program in system.programs(plan, planned.options):
        print(f"planning {program.name} ...", flush=True)
        programs[program.name] = plan_program(program, topology, quick=quick)
    seconds = sum(stats.calls * stats.step_seconds_estimate for stats in programs.values())
    hours = seconds * len(topology.devices) / 3600
    rows, columns = plan.working_size
    worst = largest(programs)
    suggestions: Iterable[Suggestion] = ()
    if not worst.fits:
        suggestions = sampling_suggestions(
            worst, planned, topology, lambda mesh: spec.load_abstract(weights, mesh=mesh)
        )
    return Plan(
        topology=topology,
        subject=(
            f"{output.frames} frames of {output.size[0]}x{output.size[1]} (worked on as"
            f" {rows}x{columns}) at {float(output.rate):g} per second, windows of {plan.window}:"
            f" {plan.window_count}, preset {config.preset}"
        ),
        mesh=dict(system.mesh.shape),
        main=max(programs.values(), key=lambda stats: stats.calls * stats.flops).name,
        programs=programs,
        costs={"minute_of_video": hours * 60 / output.seconds},
        suggestions=tuple(suggestions),
        notes=(*ASSUMPTIONS, *_NOTES),
    )


def parse_clip(text: str) -> tuple[int, int, int]:
    """Parses height, width and frames of `720x1280x32`.

    Raises:
      InputError: not three positive numbers.
    """
    sides = text.lower().split("x")
    if len(sides) != 3 or not all(side.isdigit() and int(side) for side in sides):
        raise InputError(f"plan_clip {text!r}: expected HEIGHTxWIDTHxFRAMES, such as 720x1280x32")
    height, width, frames = map(int, sides)
    return height, width, frames


def find_clip(config: ConfigDict, system: System, described: str) -> PlannedClip:
    """Returns the clip of the config that takes the most, or the one that is described.

    Args:
      config: config of `enhancement_config`.
      system: system whose working sizes are planned.
      described: `HEIGHTxWIDTHxFRAMES` of the output, or empty for the input of the config. Every
        frame of a described clip is a key frame, which takes the most.

    Raises:
      InputError: a wrong value, or no input.
    """
    if not described:
        if not config.input:
            raise InputError(
                "no input: give --config.input=VIDEO or --plan_clip=HEIGHTxWIDTHxFRAMES"
            )
        jobs, _ = check_jobs(config)
        planned = [
            PlannedClip(clip=j.clip, options=j.options, plan=system.plan(j.clip, j.options))
            for j in jobs
        ]
        return max(planned, key=lambda each: each.plan.work)
    height, width, frames = parse_clip(described)
    options = dataclasses.replace(options_of(config), target_size=(height, width), fps_scale=1.0)
    rate = options.target_fps or DEFAULT_RATE
    clip = Clip(frames=frames, height=height, width=width, rate=rate)
    return PlannedClip(clip=clip, options=options, plan=system.plan(clip, options))
