"""The flag `--preview` of the command that enhances."""

import sys
from collections.abc import Sequence

from ml_collections import ConfigDict
from tqdm import tqdm

from venhancer_jax.errors import InputError

PREVIEW = "preview"


def with_value(arguments: Sequence[str]) -> list[str]:
    """Returns arguments whose `--preview` has a value, as other flags have."""
    return [
        f"--{PREVIEW}=yes" if a.lstrip("-") == PREVIEW and a != PREVIEW else a for a in arguments
    ]


def preview(config: ConfigDict) -> int:
    """Previews the first video of a config; returns the exit code.

    Args:
      config: config of `enhancement_config`.

    Raises:
      InputError: a wrong value, or nothing that can be enhanced.
    """
    from venhancer_jax.cli.sample import load_system
    from venhancer_jax.pipelines.facts import describe_run
    from venhancer_jax.pipelines.job_folder import job_path
    from venhancer_jax.pipelines.jobs import check_jobs
    from venhancer_jax.pipelines.preview import preview_job
    from venhancer_jax.startup import set_compile_effort, use_compilation_cache

    if config.distributed or config.coordinator:
        raise InputError("--preview runs on one host: leave out distributed and coordinator")
    jobs, problems = check_jobs(config)
    use_compilation_cache(config.compilation_cache or None)
    set_compile_effort(config.compile_effort)
    system, job = load_system(config), jobs[0]
    system.prepare([job.options])
    with tqdm(desc="preview", bar_format="{desc}", disable=None) as bar:
        shown = preview_job(
            system, job, lambda stage, done, total: bar.set_description_str(f"{stage} {done}")
        )
    clock = system.output_clock(job.clip.rate, job.time_base, job.options)
    print(describe_run(system, job, clock, job_path(job.target), 0))
    print(f"  time      about {tqdm.format_interval(shown.seconds)} at the speed of the preview")
    if len(jobs) > 1:
        pixels = [j.output.frames * j.output.size[0] * j.output.size[1] for j in jobs]
        total = shown.seconds * sum(pixels) / pixels[0]
        print(f"  all       about {tqdm.format_interval(total)} for {len(jobs)} videos")
    print(f"wrote {shown.video} and {shown.still}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2 if problems else 0
