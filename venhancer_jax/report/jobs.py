"""Reports of the jobs of a config, while they are done."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.job import EnhanceJob
from venhancer_jax.pipelines.jobs import list_jobs
from venhancer_jax.pipelines.run_record import RunRecord
from venhancer_jax.report.index import Failure, write_index
from venhancer_jax.report.page import write_report
from venhancer_jax.report.settings import config_of_job
from venhancer_jax.sharding.processes import is_main_process, log_on_main


def report_each(config: ConfigDict) -> Callable[[EnhanceJob, RunRecord], None]:
    """Returns the callback of `run_jobs` that writes the page of each result.

    A result without a page is still a result: what goes wrong is logged.

    Args:
      config: config of `enhancement_config`.
    """

    def report(job: EnhanceJob, run: RunRecord) -> None:
        alone = config_of_job(config, job.source, job.target, job.options.prompt)
        try:
            page = write_report(job.source, job.target, config=alone, run=run)
        except Exception as error:
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            log_on_main(f"{job.target}: no report could be written ({kind}{error})")
        else:
            log_on_main(f"wrote {page}")

    return report


def index_folders(config: ConfigDict, messages: Sequence[str]) -> None:
    """Writes the index of the output folder of a folder of videos; else does nothing.

    Args:
      config: config of `enhancement_config`.
      messages: what was wrong with videos, each starting with the video.
    """
    pairs = list_jobs(config)
    if (
        not is_main_process()
        or not Path(config.input).is_dir()
        or pairs[0][0] == Path(config.input)
    ):
        return
    folder = pairs[0][1].parent
    failures = []
    for message in messages:
        of = [pair for pair in pairs if message.startswith(f"{pair[0]}")]
        if of:
            source, target = max(of, key=lambda pair: len(str(pair[0])))
            reason = message.removeprefix(f"{source}").lstrip(": ")
            failures.append(Failure(name=target.name, source=source.name, reason=reason))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page = write_index(folder, failures)
    except (InputError, OSError) as error:
        log_on_main(f"no index could be written ({error})")
    else:
        log_on_main(f"wrote {page}")
