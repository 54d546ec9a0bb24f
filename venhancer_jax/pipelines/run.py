"""Files in, files out: enhances videos one after the other."""

import dataclasses
import functools
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_file, atomic_folder, remove_stale
from venhancer_jax.interrupt import keep_on_interrupt, remove_on_interrupt
from venhancer_jax.pipelines.background import prefetched
from venhancer_jax.pipelines.claims import Claim, ClaimedError
from venhancer_jax.pipelines.facts import describe_run
from venhancer_jax.pipelines.frame_times import OutputClock
from venhancer_jax.pipelines.job import EnhanceJob
from venhancer_jax.pipelines.job_folder import Gap, JobFolder, is_done
from venhancer_jax.pipelines.jobs import skipped
from venhancer_jax.pipelines.progress import RunProgress
from venhancer_jax.pipelines.run_record import MeasuredRun, RunRecord, record_of, window_borders
from venhancer_jax.pipelines.stream import StreamedSegment, enhance_stream
from venhancer_jax.pipelines.system import System
from venhancer_jax.sharding.processes import broadcast_from_main, is_main_process, log_on_main
from venhancer_jax.video.writing.encoding import Encoding
from venhancer_jax.video.writing.image_folder import IMAGES, check_replaceable
from venhancer_jax.video.writing.join import join_segments
from venhancer_jax.video.writing.segment_file import SegmentFile, segment_suffix
from venhancer_jax.video.writing.write_errors import explain_write_error

_LESS_MEMORY = (
    "not enough memory. What would help: a smaller --config.up_scale or --config.target_size,"
    " --config.window, more devices; --plan says what fits"
)
# Frames that wait between reading, computing and writing.
_WAITING_FRAMES = 8
# How long a run waits for another one that is ending, and how often it looks at shared videos.
_CLAIM_WAIT, _SHARE_POLL = 0.5, 1.0
# Called with a job and its record when the result is in its place, on the main process.
Finished = Callable[[EnhanceJob, RunRecord], None]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A video that could not be enhanced.

    Attributes:
      message: what was wrong and what to do, starting with the video.
      exit_code: 2 for wrong input, 1 for anything else.
    """

    message: str
    exit_code: int


def run_jobs(
    system: System,
    jobs: Sequence[EnhanceJob],
    weights: Mapping[str, str],
    finished: Finished | None = None,
    watch: Callable[[int, int], RunProgress] = RunProgress,
) -> list[Problem]:
    """Enhances one video after the other; one that fails does not stop the others.

    Videos with `share` are divided between all runs that have them: each run takes those that are
    neither finished nor claimed, and at the end those of runs that died.

    With several processes a failure is raised: the processes that did not see it would wait in a
    collective for those that skip the video.

    Args:
      system: networks with weights.
      jobs: checked videos.
      weights: what the results follow from besides videos and options, by name.
      finished: callback for each result that is in its place, before its job folder is removed.
      watch: progress of each video; see `enhance_file`.

    Returns:
      Problems of the videos that could not be enhanced; empty if all were.

    Raises:
      InputError: with several processes, a video that cannot be read or written.
    """
    system.prepare([job.options for job in jobs])
    problems: list[Problem] = []
    waiting = [(job, Claim(job.target)) for job in jobs]
    while waiting:
        claimed_by_others = []
        for job, claim in waiting:
            try:
                enhance_file(system, job, weights, claim, finished, watch)
            except ClaimedError as error:
                if _is_shared(job):
                    claimed_by_others.append((job, claim))
                else:
                    problems.append(_problem(job, error))
            except (InputError, MemoryError, jax.errors.JaxRuntimeError) as error:
                problems.append(_problem(job, error))
        if claimed_by_others and len(claimed_by_others) < len(waiting):
            log_on_main(f"waiting for {len(claimed_by_others)} videos that other runs work on")
        if len(claimed_by_others) == len(waiting):
            time.sleep(_SHARE_POLL)
        waiting = claimed_by_others
    return problems


def _problem(job: EnhanceJob, error: Exception) -> Problem:
    """Returns the problem of a video that costs only that video; raises any other error."""
    if jax.process_count() == 1 and isinstance(error, InputError):
        return Problem(skipped(job.source, str(error)), 2)
    if jax.process_count() == 1 and _is_out_of_memory(error):
        return Problem(skipped(job.source, _LESS_MEMORY), 1)
    raise error


def _is_shared(job: EnhanceJob) -> bool:
    """Returns whether other runs may do a job; the processes of one run do all jobs together."""
    return job.files.share and jax.process_count() == 1


def enhance_file(
    system: System,
    job: EnhanceJob,
    weights: Mapping[str, str],
    claim: Claim | None = None,
    finished: Finished | None = None,
    watch: Callable[[int, int], RunProgress] = RunProgress,
) -> None:
    """Enhances one video; the result appears whole or not at all, with the other streams.

    Finished segments are kept in a job folder beside the result; a run that was interrupted resumes
    after them and writes the same bytes. With several processes all of them have to call this; the
    main process writes.

    Args:
      system: networks with weights.
      job: checked video.
      weights: what the result follows from besides video and options, by name.
      claim: claim of the result, by default a new one.
      finished: callback for the result that is in its place, before the job folder is removed.
      watch: `RunProgress`, or a subclass that sees the progress too; what its methods raise ends
        the run, whose finished segments are kept.

    Raises:
      ClaimedError: another run is writing the result.
      InputError: the video cannot be read, the result cannot be written, or an interrupted run had
        other settings.
    """
    started, measured = time.perf_counter(), MeasuredRun()
    clock = system.output_clock(job.clip.rate, job.time_base, job.options)
    claim = (claim or Claim(job.target)) if is_main_process() else None
    with ExitStack() as stack:
        folder: JobFolder | None = None
        suffix = segment_suffix(job.files.codec)
        if claim is not None:
            stack.enter_context(_explaining(job, job.encoding(clock)))
            stack.enter_context(claim.held(wait=0.0 if _is_shared(job) else _CLAIM_WAIT))
            if _is_shared(job) and is_done(job.target):
                JobFolder(job.target, {}, suffix).remove()
                log_on_main(f"{job.target} is finished")
                return
        job = broadcast_from_main(job.with_prompt)
        if claim is not None:
            folder = JobFolder(job.target, job.facts() | dict(weights), suffix)
            folder.open(restart=job.files.restart)
            stack.enter_context(_without_empty(folder, claim))
            log_on_main(describe_run(system, job, clock, folder.path, folder.finished))
        with watch(job.output.frames, folder.finished_frames if folder else 0) as progress:
            while (gap := broadcast_from_main(lambda: folder and folder.next_gap())) is not None:
                _enhance_gap(system, job, clock, gap, folder, claim, progress, measured)
        if folder is not None:
            assert claim is not None
            claim.check()
            measured.writing.start()
            _join(job, clock, folder)
            measured.writing.finish("write")
            log_on_main(f"wrote {job.target} in {time.perf_counter() - started:.1f} s")
            if finished is not None:
                borders = system.plan(job.clip, job.options).borders
                finished(job, record_of(folder.records(), measured.take(), borders))
            folder.remove()


def _enhance_gap(
    system: System,
    job: EnhanceJob,
    clock: OutputClock,
    gap: Gap,
    folder: JobFolder | None,
    claim: Claim | None,
    progress: RunProgress,
    measured: MeasuredRun,
) -> None:
    """Enhances the segments of a gap; all of them compute, the main process writes."""
    sizes = system.segment_sizes(job.clip.rate, job.options)
    encoding, passage = job.encoding(clock), job.passage()
    reading, computing, writing = measured.reading, measured.computing, measured.writing

    def update(stage: str, done: int, total: int | None) -> None:
        computing.finish(stage)
        progress.update(stage, done, total)

    def compute() -> Iterator[StreamedSegment | tuple[np.ndarray, int]]:
        """Yields each segment and then its frames."""
        read_from = gap.state.position.read_from(sizes)
        read = prefetched(reading.each("read", job.frames(read_from, passage)), _WAITING_FRAMES)
        computing.start()
        for streamed in enhance_stream(
            system,
            computing.waiting(read),
            rate=job.clip.rate,
            clock=clock,
            options=job.options,
            progress=update,
            state=gap.state,
            # Latents that several processes share stay on their devices.
            scratch=folder.path if folder and jax.process_count() == 1 else None,
        ):
            computing.finish("denoise")
            yield streamed
            computing.start()
            for frame, tick in streamed.frames:
                shown = passage.leave(frame, tick * clock.output_base)
                computing.finish("decode")
                yield shown, tick
                computing.start()
            if streamed.after.position.index == gap.stop:
                return

    # The device computes the next segment while the encoder still works on this one.
    with closing(prefetched(compute(), _WAITING_FRAMES)) as stream:
        for streamed in stream:
            assert isinstance(streamed, StreamedSegment)
            index = streamed.segment.index
            frames: Iterator[Any] = itertools.islice(stream, streamed.count)
            if folder is None or folder.is_finished(index):
                for _ in frames:
                    pass  # another process writes it, or only its latents were lost
            else:
                assert claim is not None
                claim.check()
                writing.start()
                folder.add(
                    streamed,
                    functools.partial(_write, encoding, writing.waiting(frames)),
                    functools.partial(_measure_segment, measured),
                    functools.partial(
                        window_borders, system, streamed.segment, job.clip, clock, job.options
                    ),
                )
                keep_on_interrupt(folder.path)
                progress.finish_segment(streamed.count)


def _measure_segment(measured: MeasuredRun) -> dict[str, Any]:
    """Returns what was measured since the last segment, the writing of this one included."""
    measured.writing.finish("write")
    return measured.take()


def _write(encoding: Encoding, frames: Iterator[tuple[np.ndarray, int]], path: Path) -> int:
    """Writes a segment; returns the tick of its first frame."""
    first: int | None = None
    with SegmentFile(path, encoding) as segment:
        for frame, tick in frames:
            first = tick if first is None else first
            segment.write(frame, tick - first)
    assert first is not None
    return first


def _join(job: EnhanceJob, clock: OutputClock, folder: JobFolder) -> None:
    """Joins all segments into the target, with the other streams of the source."""
    target, encoding = job.target, job.encoding(clock)
    segments = folder.segments()
    if job.is_still:
        (image,) = segments[0][0].iterdir()
        remove_stale(target)
        with atomic_file(target) as partial:
            shutil.copyfile(image, partial)
        return
    if job.files.codec in IMAGES:
        check_replaceable(target)
        with atomic_folder(target) as partial:
            join_segments(Path(partial), segments, encoding, suffix="")
        return
    remove_stale(target)
    with atomic_file(target) as partial:
        join_segments(
            Path(partial),
            segments,
            encoding,
            suffix=target.suffix,
            tracks=job.tracks(),
            end=None if clock.rate else job.end_tick * clock.stride,
        )


@contextmanager
def _without_empty(folder: JobFolder, claim: Claim) -> Iterator[None]:
    """Removes the job folder of a run that ends before anything is finished."""
    if not folder.finished:
        remove_on_interrupt(folder.path)
    try:
        yield
    except BaseException:
        if not folder.finished and not claim.is_lost:
            folder.remove()
        raise
    finally:
        keep_on_interrupt(folder.path)


@contextmanager
def _explaining(job: EnhanceJob, encoding: Encoding) -> Iterator[None]:
    """Turns errors of encoders and of the file system into words for people."""
    try:
        yield
    except Exception as error:
        kept = "Finished parts are kept, and the same command resumes after them"
        if (reason := explain_write_error(error, job.target, encoding, left=kept)) is not None:
            raise reason from error
        raise


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
