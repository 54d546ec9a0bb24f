"""Plans a training: what its step takes, and what to change where it does not fit."""

from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from venhancer_jax.pipelines.system import ProgramSpec
from venhancer_jax.planning.analytic import activation_bytes
from venhancer_jax.planning.plan import Plan
from venhancer_jax.planning.program import ProgramStats, plan_program
from venhancer_jax.planning.roofline import ASSUMPTIONS
from venhancer_jax.planning.suggestions import (
    SLACK,
    Suggestion,
    other_chips,
    share_that_fits,
    with_share,
)
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

_NOTES = (
    "where the compiled program does not tell (GPUs, nothing compiled): the work is split evenly"
    " over data and fsdp",
    "validation and checkpoints are not counted",
)
# What they are does not matter where nothing is compiled.
Devices = Sequence[Any]

# This process is not one of a run.
_SETTLED = {"distributed": False, "coordinator": "", "process_id": 0, "process_count": 1}


def plan_training(config: ConfigDict, topology: Topology, *, quick: bool = False) -> Plan:
    """The plan of a training.

    Args:
      config: of `training_config`.
      topology: to run on.
      quick: as of `plan_program`.

    Raises:
      InputError: a wrong value, or a mesh or batch that does not fit the number of chips.
    """
    config = _for_chips(config)
    program = step_of(config, topology.devices)
    print("planning step ...", flush=True)
    facts = plan_program(program, topology, quick=quick)
    step_hours = facts.step_seconds_estimate * len(topology.devices) / 3600
    costs = {"update": step_hours * config.accumulate, "run": step_hours * config.steps}
    examples = count_examples(config.data)
    if examples:
        costs["epoch"] = step_hours * examples / config.batch
    return Plan(
        topology=topology,
        subject=(
            f"{config.objective}, preset {config.preset}, trains {config.trainable}:"
            f" {config.batch} clips a step, {config.batch * config.accumulate} an update,"
            f" {config.frames} frames of {config.height}x{config.width},"
            f" remat {config.remat}"
        ),
        mesh=dict(program.mesh.shape),
        main="step",
        programs={"step": facts},
        costs=costs,
        suggestions=() if facts.fits else tuple(_changes(config, facts, topology)),
        notes=(*ASSUMPTIONS, *_NOTES),
    )


def step_of(config: ConfigDict, devices: Devices) -> ProgramSpec:
    """The step of a training as `training.run` compiles it, on devices that need not be there.

    Raises:
      InputError: a wrong value, or a mesh or batch that does not fit the number of devices.
    """
    mesh = device_mesh(config.mesh, list(devices))
    check_batch(config.batch, mesh)
    task = task_of(config, mesh, abstract=True)
    optimizer = optimizer_of(config)
    state = state_shapes(task.params, optimizer, mesh)
    return ProgramSpec(
        name="step",
        function=compile_step(config, task.objective, optimizer, mesh, state),
        arguments=(state, dict(task.frozen), place_batch_shapes(batch_shapes(config), mesh)),
        mesh=mesh,
        shards=mesh.shape["data"] * mesh.shape["fsdp"],
    )


def _for_chips(config: ConfigDict) -> ConfigDict:
    """The config as accelerators would take it."""
    return _with(config, dtype="bfloat16" if config.dtype == "auto" else config.dtype, **_SETTLED)


def _with(config: ConfigDict, **changes: Any) -> ConfigDict:
    changed = config.copy_and_resolve_references()
    with changed.unlocked():
        changed.update(changes)
    return changed


def _changes(config: ConfigDict, facts: ProgramStats, topology: Topology) -> Iterator[Suggestion]:
    """What would make a step fit: settings that keep the result first, then chips."""
    devices = fake_devices(len(topology.devices), topology.chip, topology.platform)
    found = False
    for change in (*_wider_fsdp(config, facts, devices), *_remat(config, facts, devices)):
        found = True
        yield change
    for change in (*_smaller_batch(config, facts, devices), *_more_chips(config, facts, topology)):
        found = True
        yield change
    if not found:
        yield from _fewer_frames(config, facts)
    yield from other_chips(facts, topology)


def _wider_fsdp(config: ConfigDict, facts: ProgramStats, devices: Devices) -> Iterator[Suggestion]:
    for changed, fsdp in _fsdp(config, devices):
        whole = _rest(changed, devices) + facts.temporary_bytes
        if whole <= SLACK * facts.limit_bytes:
            yield Suggestion(
                ask=f"--config.mesh.fsdp={fsdp} --config.mesh.data={changed.mesh.data}",
                bytes_per_chip=whole,
                basis="shards of parameters and optimiser counted, temporaries as they are",
            )
            return


def _remat(config: ConfigDict, facts: ProgramStats, devices: Devices) -> Iterator[Suggestion]:
    if config.remat == "blocks":
        return
    changed = _with(config, remat="blocks")
    before, after = (_activations(each, devices) for each in (config, changed))
    share = after / before
    for each, fsdp in ((changed, None), *_fsdp(changed, devices)):
        rest = facts.argument_bytes if fsdp is None else _rest(each, devices)
        whole = rest + round(share * facts.temporary_bytes)
        if whole <= SLACK * facts.limit_bytes:
            more = (
                ""
                if fsdp is None
                else f" --config.mesh.fsdp={fsdp} --config.mesh.data={each.mesh.data}"
            )
            yield Suggestion(
                ask=f"--config.remat=blocks{more}",
                bytes_per_chip=whole,
                basis=f"the arrays alive at once are {share:.0%} of those of remat {config.remat}",
            )
            return


def _smaller_batch(
    config: ConfigDict, facts: ProgramStats, devices: Devices
) -> Iterator[Suggestion]:
    mesh = device_mesh(config.mesh, list(devices))
    per_chip = config.batch // (mesh.shape["data"] * mesh.shape["fsdp"])
    for parts in range(2, per_chip + 1):
        if per_chip % parts == 0 and 1 / parts <= share_that_fits(facts):
            accumulate = config.accumulate * parts
            yield Suggestion(
                ask=(
                    f"--config.batch={config.batch // parts} --config.accumulate={accumulate}"
                    f" --config.steps={config.steps * parts}"
                ),
                bytes_per_chip=with_share(facts, 1 / parts),
                basis="temporaries in proportion to the examples on a chip",
            )
            return


def _more_chips(
    config: ConfigDict, facts: ProgramStats, topology: Topology
) -> Iterator[Suggestion]:
    """Wider fsdp over more chips, with as many examples on each as now."""
    per_chip = config.batch / len(topology.devices)
    for name, count in neighbours(topology):
        fsdp = count // len(topology.devices) * max(1, int(config.mesh.fsdp))
        changed = _with(config, batch=round(per_chip * count))
        with changed.unlocked():
            changed.mesh.fsdp, changed.mesh.data = fsdp, -1
        if count % (fsdp * int(config.mesh.context)):
            continue
        more = fake_devices(count, topology.chip, topology.platform)
        whole = _rest(changed, more) + facts.temporary_bytes
        if whole <= SLACK * facts.limit_bytes:
            yield Suggestion(
                ask=(
                    f"more chips, --plan={name} --config.mesh.fsdp={fsdp}"
                    f" --config.batch={changed.batch}"
                ),
                bytes_per_chip=whole,
                basis="shards of parameters and optimiser counted, temporaries as they are",
            )
            return


def _fewer_frames(config: ConfigDict, facts: ProgramStats) -> Iterator[Suggestion]:
    frames = int(config.frames * share_that_fits(facts))
    if frames > 1:
        yield Suggestion(
            ask=f"clips of {frames} frames, --config.frames={frames}",
            bytes_per_chip=with_share(facts, frames / config.frames),
            basis=f"temporaries of {config.frames} frames, in proportion",
        )


def _fsdp(config: ConfigDict, devices: Devices) -> Iterator[tuple[ConfigDict, int]]:
    """The config with wider and wider fsdp, for the same chips."""
    shape = device_mesh(config.mesh, list(devices)).shape
    both = shape["data"] * shape["fsdp"]
    for fsdp in range(shape["fsdp"] + 1, both + 1):
        if both % fsdp == 0:
            changed = _with(config)
            with changed.unlocked():
                changed.mesh.fsdp, changed.mesh.data = fsdp, both // fsdp
                changed.mesh.context = shape["context"]
            yield changed, fsdp


def _rest(config: ConfigDict, devices: Devices) -> int:
    """Bytes of what a chip is given: its shards of state, frozen networks and batch."""
    return shard_bytes(step_of(config, devices).arguments)


def _activations(config: ConfigDict, devices: Devices) -> int:
    program = step_of(config, devices)
    return activation_bytes(program.function, *program.arguments)
