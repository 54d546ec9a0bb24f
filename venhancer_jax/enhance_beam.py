"""Enhances a folder of videos on the workers of an Apache Beam runner: Dataflow, Flink, Spark.

    python -m venhancer_jax.enhance_beam --config=venhancer --config.input=IN --config.output=OUT

Settings are those of `sample.py`; other arguments are options of Beam, such as
`--runner=DirectRunner`. Each video is an element, enhanced by the function that `sample.py` uses,
with the same bytes. Both folders must be on a file system that all workers share: each video is
claimed there, and one whose worker died resumes after its finished segments. What is finished is
skipped. `pip install 'venhancer-jax[beam]'`.

Exit codes: 0 done, 2 wrong input (one bad video costs that video), 1 anything else.
"""

import dataclasses
import hashlib
import json
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from venhancer_jax.cli.sample import load_system, parse_sample_config, weight_facts
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import check_values
from venhancer_jax.pipelines.jobs import check_job, list_jobs
from venhancer_jax.pipelines.run import Problem, run_jobs
from venhancer_jax.report.jobs import index_folders, report_each
from venhancer_jax.startup import set_compile_effort, use_compilation_cache
from venhancer_jax.video import check_prompts

try:
    import apache_beam as beam  # pyright: ignore[reportMissingImports]
    from apache_beam.options.pipeline_options import (  # pyright: ignore[reportMissingImports]
        PipelineOptions,
    )
    from apache_beam.utils.shared import Shared  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise SystemExit(
        f"error: this needs Apache Beam, which cannot be imported ({error}). Install it:"
        " pip install 'venhancer-jax[beam]'"
    ) from error

_REPORTS = ".problems"
# A process enhances one video at a time: its devices hold the networks once.
_ONE_AT_A_TIME = threading.Lock()


def enhance_with_beam(config: ConfigDict, options: Sequence[str]) -> list[Problem]:
    """Enhances the videos of a folder on the workers of a runner.

    Args:
      config: config of `enhancement_config`; its folders are seen by all workers.
      options: options of Beam, such as `["--runner=DirectRunner"]`.

    Returns:
      Problems of the videos that could not be enhanced; empty if all were.

    Raises:
      InputError: a wrong value, or no video.
    """
    check_values(config)
    pairs = list_jobs(config)
    if config.prompt_file and not config.name_as_prompt:
        check_prompts(config.prompt_file, len(pairs))
    folder = pairs[0][1].parent
    reports = folder / _REPORTS
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    elements = [(i, str(source), str(target)) for i, (source, target) in enumerate(pairs)]
    settings = PipelineOptions([*options, "--pickle_library=cloudpickle"])
    try:
        with beam.Pipeline(options=settings) as pipeline:
            _ = (
                pipeline
                | "Videos" >> beam.Create(elements)
                # Else the runner would leave them all to the machine that lists them.
                | "Spread" >> beam.Reshuffle()
                | "Enhance" >> beam.ParDo(_Enhance(config, str(reports)))
            )
        found = [json.loads(path.read_text()) for path in sorted(reports.iterdir())]
    finally:
        shutil.rmtree(reports, ignore_errors=True)
    return [Problem(**problem) for problem in found]


@dataclasses.dataclass(frozen=True)
class _Loaded:
    """System of a worker process, and what results follow from besides videos and options."""

    system: Any
    facts: dict[str, str]


class _Enhance(beam.DoFn):
    """Enhances a video, on a worker."""

    def __init__(self, config: ConfigDict, reports: str):
        super().__init__()
        self._config = config.copy_and_resolve_references()
        self._config.share = True
        self._reports = reports
        self._shared = Shared()
        self._loaded: _Loaded | None = None
        self._failure = ""

    def setup(self) -> None:
        """Loads the networks, once for all threads of the process."""
        try:
            with _ONE_AT_A_TIME:
                self._loaded = self._shared.acquire(self._load)
        except InputError as error:
            self._failure = str(error)  # is that of each video

    def process(self, element: tuple[int, str, str]) -> None:
        """Enhances one video; a problem of the video is left in the folder of reports."""
        index, source, target = element
        try:
            if self._loaded is None:
                raise InputError(self._failure)
            job = check_job(self._config, Path(source), Path(target), index=index)
            with _ONE_AT_A_TIME:
                report = report_each(self._config) if self._config.report else None
                problems = run_jobs(self._loaded.system, [job], self._loaded.facts, report)
        except InputError as error:
            message = str(error) if str(error).startswith(source) else f"{source}: {error}"
            problems = [Problem(message, 2)]
        for problem in problems:
            name = f"{index:06d}-{hashlib.sha256(source.encode()).hexdigest()[:8]}.json"
            (Path(self._reports) / name).write_text(json.dumps(dataclasses.asdict(problem)))

    def _load(self) -> _Loaded:
        use_compilation_cache(self._config.compilation_cache or None)
        set_compile_effort(self._config.compile_effort)
        return _Loaded(load_system(self._config), weight_facts(self._config))


def main(arguments: Sequence[str]) -> int:
    """Enhances as the command line says; returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
    ours = [a for a in arguments if a.lstrip("-").startswith("config") or a in ("-h", "--help")]
    try:
        config, _ = parse_sample_config(ours)
        if config is None:
            return 0
        problems = enhance_with_beam(config, [a for a in arguments if a not in ours])
        if config.report:
            index_folders(config, [problem.message for problem in problems])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(f"error: {problem.message}", file=sys.stderr)
    return min((problem.exit_code for problem in problems), default=0)


if __name__ == "__main__":
    # Workers find the classes under the name of the module, not of the command.
    from venhancer_jax import enhance_beam

    sys.exit(enhance_beam.main(sys.argv[1:]))
