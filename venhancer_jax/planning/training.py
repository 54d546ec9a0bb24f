"""Plans a training: memory and time of its step, and what to change if it does not fit."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from venhancer_jax.pipelines.system import ProgramSpec
from venhancer_jax.planning.program import ASSUMPTIONS, ProgramStats, plan_program
from venhancer_jax.planning.report import Plan
from venhancer_jax.planning.suggestions import Suggestion, first_that_fits, other_chips
from venhancer_jax.planning.topology import Topology, fake_devices, neighbours
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.sharding.params import shard_bytes
from venhancer_jax.training.data import batch_shapes, count_examples
from venhancer_jax.training.state import optimizer_of
from venhancer_jax.training.step import (
    check_batch,
    compile_step,
    place_batch_shapes,
    state_shapes,
)
from venhancer_jax.training.tasks import task_of

_ASSUMPTIONS = (*ASSUMPTIONS, "validation and checkpoints are not counted")
# The planning process is alone, however many processes the training has.
_ONE_PROCESS = {"distributed": False, "coordinator": "", "process_id": 0, "process_count": 1}


def plan_training(config: ConfigDict, topology: Topology, *, quick: bool = False) -> Plan:
    """Plans a training.

    Args:
      config: config of `training_config`.
      topology: chips to run on.
      quick: whether to compile with the least effort, where the compiler has such an option.

    Raises:
      InputError: a wrong value, or a mesh or batch that does not fit the number of chips.
    """
    # On an accelerator `auto` is bfloat16.
    dtype = "bfloat16" if config.dtype == "auto" else config.dtype
    config = _with(config, {"dtype": dtype, **_ONE_PROCESS})
    spec = step_spec(config, topology.devices)
    print("planning step ...", flush=True)
    stats = plan_program(spec, topology, quick=quick)
    hours = stats.step_seconds_estimate * len(topology.devices) / 3600
    costs = {"update": hours * config.accumulate, "run": hours * config.steps}
    if examples := count_examples(config.data):
        costs["epoch"] = hours * examples / config.batch
    return Plan(
        topology=topology,
        subject=(
            f"{config.objective}, preset {config.preset}, trains {config.trainable}:"
            f" {config.batch} clips a step, {config.batch * config.accumulate} an update,"
            f" {config.frames} frames of {config.height}x{config.width},"
            f" remat {config.remat}"
        ),
        mesh=dict(spec.mesh.shape),
        programs={spec.name: stats},
        costs=costs,
        suggestions=() if stats.fits else tuple(suggest(config, stats, topology, quick=quick)),
        assumptions=_ASSUMPTIONS,
    )


def step_spec(config: ConfigDict, devices: Sequence[Any]) -> ProgramSpec:
    """Returns the step as a training compiles it, on devices that need not be present.

    Raises:
      InputError: a wrong value, or a mesh or batch that does not fit the number of devices.
    """
    mesh = device_mesh(config.mesh, list(devices))
    check_batch(config.batch, mesh)
    task = task_of(config, mesh, abstract=True)
    optimizer = optimizer_of(config, task.groups)
    state = state_shapes(task.params, optimizer, mesh)
    return ProgramSpec(
        name="step",
        function=compile_step(config, task.objective, optimizer, mesh, state, task.groups),
        arguments=(state, dict(task.frozen), place_batch_shapes(batch_shapes(config), mesh)),
        mesh=mesh,
        shards=mesh.shape["data"] * mesh.shape["fsdp"],
    )


def suggest(
    config: ConfigDict, stats: ProgramStats, topology: Topology, *, quick: bool = False
) -> Iterator[Suggestion]:
    """Yields changes that would make a step fit: settings that keep the result, then others.

    Args:
      config: config of `training_config`.
      stats: memory of the step.
      topology: chips that do not suffice.
      quick: whether to compile with the least effort.
    """
    chips = len(topology.devices)
    shape = device_mesh(config.mesh, list(topology.devices)).shape
    replicas = shape["data"] * shape["fsdp"]

    def expect(
        changes: Mapping[str, Any],
        share: float = 1.0,
        *,
        name: str = "",
        count: int = chips,
        temporary: int = stats.temporary_bytes,
    ) -> Suggestion:
        devices = fake_devices(count, topology.chip, topology.platform)
        arguments = shard_bytes(step_spec(_with(config, changes), devices).arguments)
        settings = [f"--config.{key}={value}" for key, value in changes.items()]
        return Suggestion(
            ask=" ".join([*([f"more chips, --plan={name}"] if name else []), *settings]),
            bytes_per_chip=arguments + round(share * temporary),
            basis="arguments counted,"
            f" {share * temporary / max(1, stats.temporary_bytes):.0%} of the present temporaries",
        )

    def wider_fsdp(**more: Any) -> Iterator[Suggestion]:
        for fsdp in range(shape["fsdp"] + 1, replicas + 1):
            if replicas % fsdp == 0:
                yield expect({"mesh.fsdp": fsdp, "mesh.data": replicas // fsdp}, **more)

    def remat() -> Iterator[Suggestion]:
        if config.remat == "blocks":
            return
        # What it saves depends on the network, so it is compiled.
        blocks = {"remat": "blocks"}
        spec = step_spec(_with(config, blocks), topology.devices)
        temporary = plan_program(spec, topology, quick=quick).temporary_bytes
        yield expect(blocks, temporary=temporary)
        for suggestion in wider_fsdp(temporary=temporary):
            yield dataclasses.replace(suggestion, ask=f"--config.remat=blocks {suggestion.ask}")

    def smaller_batch() -> Iterator[Suggestion]:
        per_chip = config.batch // replicas
        for parts in range(2, per_chip + 1):
            if per_chip % parts == 0:
                changes = {
                    "batch": config.batch // parts,
                    "accumulate": config.accumulate * parts,
                    "steps": config.steps * parts,
                }
                yield expect(changes, 1 / parts)

    def more_chips() -> Iterator[Suggestion]:
        """Wider fsdp over more chips, with as many examples on each as now."""
        for name, count in neighbours(topology):
            fsdp = count // chips * shape["fsdp"]
            if count % (fsdp * shape["context"]) == 0:
                batch = config.batch * count // chips
                changes = {"mesh.fsdp": fsdp, "mesh.data": -1, "batch": batch}
                yield expect(changes, name=name, count=count)

    def fewer_frames() -> Iterator[Suggestion]:
        for frames in range(config.frames - 1, 1, -1):
            yield expect({"frames": frames}, frames / config.frames)

    found = False
    for candidates in (wider_fsdp, remat, smaller_batch, more_chips):
        for suggestion in first_that_fits(stats, candidates()):
            found = True
            yield suggestion
    if not found:
        yield from first_that_fits(stats, fewer_frames())
    yield from other_chips(stats, topology)


def _with(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """Returns a config with changes by dotted key."""
    changed = config.copy_and_resolve_references().unlock()
    changed.update_from_flattened_dict(changes)
    return changed.lock()
