"""Files in, files out: enhances videos one after the other."""

import dataclasses
import time
from collections.abc import Sequence

import jax

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.jobs import EnhanceJob, skipped
from venhancer_jax.pipelines.progress import ProgressBars
from venhancer_jax.pipelines.system import System
from venhancer_jax.sharding.processes import is_main_process, log_on_main

_LESS_MEMORY = (
    "not enough memory. What would help: a smaller --config.up_scale or --config.target_size,"
    " --config.window, more devices; --plan says what fits"
)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A video that could not be enhanced.

    Attributes:
      message: what was wrong and what to do, starting with the video.
      exit_code: 2 for wrong input, 1 for anything else.
    """

    message: str
    exit_code: int


def run_jobs(system: System, jobs: Sequence[EnhanceJob]) -> list[Problem]:
    """Enhances one video after the other; one that fails does not stop the others.

    With several processes a failure is raised: the processes that did not see it would wait in a
    collective for those that skip the video.

    Args:
      system: networks with weights.
      jobs: checked videos.

    Returns:
      Problems of the videos that could not be enhanced; empty if all were.

    Raises:
      InputError: with several processes, a video that cannot be read or written.
    """
    system.prepare([job.options for job in jobs])
    problems = []
    for job in jobs:
        try:
            enhance_file(system, job)
        except (InputError, MemoryError, jax.errors.JaxRuntimeError) as error:
            if jax.process_count() > 1 or not (
                isinstance(error, InputError) or _is_out_of_memory(error)
            ):
                raise
            message, code = (str(error), 2) if isinstance(error, InputError) else (_LESS_MEMORY, 1)
            problems.append(Problem(skipped(job.source, message), code))
    return problems


def enhance_file(system: System, job: EnhanceJob) -> None:
    """Enhances one video; the result appears whole or not at all, with the original sound.

    With several processes all of them have to call this; the main process writes.

    Args:
      system: networks with weights.
      job: checked video.

    Raises:
      InputError: the video cannot be read or the result cannot be written.
    """
    started = time.perf_counter()
    info, output = job.info, job.output
    height, width = output.size
    log_on_main(
        f"{job.source} -> {job.target}: {info.width}x{info.height} to {width}x{height},"
        f" {float(info.rate):g} to {float(output.rate):g} frames per second,"
        f" {job.clip.frames} to {output.frames} frames, prompt {job.options.prompt!r}"
    )
    if not is_main_process():
        for _ in system.enhance(job.frames(), rate=info.rate, options=job.options):
            pass  # computes its share
        return
    with ProgressBars(job.clip.frames) as bars, job.writer() as out:
        for frame in system.enhance(
            job.frames(), rate=info.rate, options=job.options, progress=bars.update
        ):
            out.write(frame)
    log_on_main(f"wrote {job.target} in {time.perf_counter() - started:.1f} s")


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
