"""Plans an enhancement: what its programs take, and what to change where they do not fit."""

from ml_collections import ConfigDict

from venhancer_jax.planning.changes import sampling_changes
from venhancer_jax.planning.plan import Plan, largest
from venhancer_jax.planning.program import plan_program
from venhancer_jax.planning.roofline import ASSUMPTIONS
from venhancer_jax.planning.sampling import abstract_system, clip_of, programs_of
from venhancer_jax.planning.topology import Topology

_NOTES = (
    "the weights of all networks lie on every chip (split over fsdp), beside the latents of the"
    " whole clip",
    "where the compiled program does not tell (GPUs, nothing compiled): the text tower runs on"
    " every chip alike, all else is split evenly",
)


def plan_sampling(
    config: ConfigDict, topology: Topology, described: str = "", *, quick: bool = False
) -> Plan:
    """The plan of an enhancement.

    Args:
      config: of `enhancement_config`.
      topology: to run on.
      described: the output as `HEIGHTxWIDTHxFRAMES`; empty for the input of the config.
      quick: as of `plan_program`.

    Raises:
      InputError: a wrong value.
    """
    system = abstract_system(config, topology)
    clip = clip_of(config, system, described)
    programs = {}
    for program in programs_of(system, clip):
        print(f"planning {program.name} ...", flush=True)
        programs[program.name] = plan_program(program, topology, quick=quick)
    seconds = sum(facts.calls * facts.step_seconds_estimate for facts in programs.values())
    hours = seconds * len(topology.devices) / 3600
    height, width = clip.space.size
    rows, columns = clip.space.working_size
    assert system.mesh is not None
    worst = largest(programs)
    return Plan(
        topology=topology,
        subject=(
            f"{len(clip.time.take)} frames of {height}x{width} (worked on as {rows}x{columns}) at"
            f" {float(clip.time.rate):g} a second, windows of {clip.window}:"
            f" {len(clip.time.windows)}, preset {config.preset}"
        ),
        mesh=dict(system.mesh.shape),
        main="denoise",
        programs=programs,
        costs={"minute_of_video": hours * 60 / clip.seconds},
        changes=() if worst.fits else tuple(sampling_changes(worst, clip, system, topology)),
        notes=(*ASSUMPTIONS, *_NOTES),
    )
