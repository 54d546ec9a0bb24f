"""Plans an enhancement: memory and time of its programs, and what to change if they do not fit."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import mesh_of, options_of, system_of, weights_of
from venhancer_jax.pipelines.jobs import check_jobs
from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.pipelines.system import Clip, ClipPlan, ProgramSpec, System
from venhancer_jax.planning.program import ASSUMPTIONS, ProgramStats, plan_program
from venhancer_jax.planning.report import Plan
from venhancer_jax.planning.suggestions import Suggestion, first_that_fits, other_chips
from venhancer_jax.planning.topology import Topology, fake_devices, neighbours
from venhancer_jax.sharding.params import shard_bytes

# Frames per second of a clip that is described by its size.
DEFAULT_RATE = Fraction(24)
_ASSUMPTIONS = (
    *ASSUMPTIONS,
    "the weights of all networks but the text encoder stay on every chip (sharded over fsdp),"
    " beside the latents of the whole clip and the frames that are being blended",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedClip:
    """An enhancement of one clip by one system.

    Attributes:
      system: abstract system on a mesh.
      clip: input clip.
      options: options of the enhancement.
    """

    system: System
    clip: Clip
    options: EnhanceOptions

    @property
    def plan(self) -> ClipPlan:
        """Returns the plan of the clip."""
        return self.system.plan(self.clip, self.options)

    def programs(self) -> list[ProgramSpec]:
        """Lists the programs of the enhancement, in the order of the run."""
        return self.system.programs(self.plan, self.options)

    def program(self, name: str) -> ProgramSpec:
        """Returns one of the programs."""
        return next(program for program in self.programs() if program.name == name)

    def with_options(self, **changes: Any) -> "PlannedClip":
        """Returns the enhancement with other options."""
        return dataclasses.replace(self, options=dataclasses.replace(self.options, **changes))


def plan_sampling(
    config: ConfigDict, topology: Topology, described: str = "", *, quick: bool = False
) -> Plan:
    """Plans an enhancement.

    Args:
      config: config of `enhancement_config`.
      topology: chips to run on.
      described: output as `HEIGHTxWIDTHxFRAMES`; empty for the input of the config.
      quick: whether to compile with the least effort, where the compiler has such an option.

    Raises:
      InputError: a wrong value.
    """

    def system_on(devices: tuple[Any, ...]) -> System:
        spec = find_system(system_of(config))
        return spec.load_abstract(weights_of(config), mesh=mesh_of(config, devices))

    planned = find_clip(config, system_on(topology.devices), described)
    specs = planned.programs()
    programs = {}
    for spec in specs:
        print(f"planning {spec.name} ...", flush=True)
        programs[spec.name] = plan_program(spec, topology, quick=quick)
    seconds = sum(stats.calls * stats.step_seconds_estimate for stats in programs.values())
    hours = seconds * len(topology.devices) / 3600
    clip_plan = planned.plan
    output, (rows, columns) = clip_plan.output, clip_plan.working_size
    plan = Plan(
        topology=topology,
        subject=(
            f"{output.frames} frames of {output.size[0]}x{output.size[1]} (worked on as"
            f" {rows}x{columns}) at {float(output.rate):g} per second, windows of"
            f" {clip_plan.window}: {clip_plan.window_count}, preset {config.preset}"
        ),
        mesh=dict(specs[0].mesh.shape),
        programs=programs,
        costs={"minute_of_video": hours * 60 / output.seconds},
        suggestions=(),
        assumptions=_ASSUMPTIONS,
    )
    if plan.fits:
        return plan
    worst = plan.largest
    found = suggest(worst, programs[worst], planned, topology, system_on)
    return dataclasses.replace(plan, suggestions=tuple(found))


def find_clip(config: ConfigDict, system: System, described: str) -> PlannedClip:
    """Returns the input clip with the most work, or the described clip.

    Args:
      config: config of `enhancement_config`.
      system: abstract system.
      described: output as `HEIGHTxWIDTHxFRAMES`, of which every frame is a key frame, which takes
        the most; empty for the input of the config.

    Raises:
      InputError: a wrong value, or no input.
    """
    if described:
        height, width, frames = parse_clip(described)
        options = dataclasses.replace(
            options_of(config), target_size=(height, width), fps_scale=1.0
        )
        rate = options.target_fps or DEFAULT_RATE
        scale = find_system(system_of(config)).planned_scale
        rows, columns = math.ceil(height / scale), math.ceil(width / scale)
        clip = Clip(frames=frames, height=rows, width=columns, rate=rate)
        return PlannedClip(system=system, clip=clip, options=options)
    if not config.input:
        raise InputError("no input: give --config.input=VIDEO or --plan_clip=HEIGHTxWIDTHxFRAMES")
    jobs, _ = check_jobs(config)
    clips = [PlannedClip(system=system, clip=job.clip, options=job.options) for job in jobs]
    return max(clips, key=lambda planned: planned.plan.work)


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


def suggest(
    name: str,
    stats: ProgramStats,
    planned: PlannedClip,
    topology: Topology,
    system_on: Callable[[tuple[Any, ...]], System],
) -> Iterator[Suggestion]:
    """Yields changes that would make an enhancement fit, each alone: settings, chips, size.

    Args:
      name: name of the program that takes the most memory.
      stats: memory of that program.
      planned: enhancement that does not fit.
      topology: chips that do not suffice.
      system_on: builds the abstract system for devices.
    """
    spec, plan = planned.program(name), planned.plan

    def expect(ask: str, changed: PlannedClip) -> Suggestion:
        new, new_plan, share = changed.program(name), changed.plan, 1.0
        if "window" in spec.scales_with:
            share *= (new_plan.window / new.shards) / (plan.window / spec.shards)
        if "pixels" in spec.scales_with:
            share *= seen_pixels(new) / seen_pixels(spec)
        return Suggestion(
            ask=ask,
            bytes_per_chip=shard_bytes(new.arguments)
            + new.resident_bytes
            + round(share * stats.temporary_bytes),
            basis=f"arrays counted, {share:.0%} of the present temporaries",
        )

    def possible(**changes: Any) -> PlannedClip | None:
        """Returns the enhancement with other options, None if the system cannot do that."""
        try:
            changed = planned.with_options(**changes)
            changed.system.plan(changed.clip, changed.options)
        except InputError:
            return None
        return changed

    def fewer_frames() -> Iterator[Suggestion]:
        for frames in range(plan.window - 1, 1, -1):
            changed = possible(window=frames)
            # A window has at least two key frames, however far apart they are.
            if changed is not None and changed.plan.window <= frames:
                yield expect(f"windows of {frames} frames, --config.window={frames}", changed)

    def smaller_tiles() -> Iterator[Suggestion]:
        if not hasattr(planned.options, "tile"):
            return
        for side in range(max(plan.working_size) // 32 * 32, 0, -32):
            changed = possible(tile=side)
            if changed is not None and seen_pixels(changed.program(name)) < seen_pixels(spec):
                yield expect(f"tiles of {side} pixels, --config.tile={side}", changed)

    def more_chips() -> Iterator[Suggestion]:
        for larger, count in neighbours(topology):
            system = system_on(fake_devices(count, topology.chip, topology.platform))
            changed = dataclasses.replace(planned, system=system)
            yield expect(f"more chips, --plan={larger}", changed)

    def smaller_output() -> Iterator[Suggestion]:
        for percent in range(95, 5, -5):
            size = tuple(max(16, side * percent // 100 // 2 * 2) for side in plan.output.size)
            if (changed := possible(target_size=size)) is not None:
                yield expect(f"a smaller output, --config.target_size={size[0]},{size[1]}", changed)

    for candidates in (fewer_frames, smaller_tiles, more_chips, smaller_output):
        yield from first_that_fits(stats, candidates())
    yield from other_chips(stats, topology)


def seen_pixels(spec: ProgramSpec) -> int:
    """Returns rows times columns of the main input of a program, `[..., h, w, C]`."""
    return math.prod(spec.arguments[1].shape[-3:-1])
