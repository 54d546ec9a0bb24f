"""Jobs of the page: a queue, one thread that works on the device, and what a restart needs."""

import enum
import functools
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from venhancer_jax.app.arguments import config_of
from venhancer_jax.app.files import Folders
from venhancer_jax.app.model import Model
from venhancer_jax.app.request import Request
from venhancer_jax.cli.sample import weight_facts
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.claims import Claim
from venhancer_jax.pipelines.job import EnhanceJob
from venhancer_jax.pipelines.job_folder import JobFolder, job_path
from venhancer_jax.pipelines.jobs import check_job
from venhancer_jax.pipelines.preview import PIECES, Preview, preview_job
from venhancer_jax.pipelines.progress import RunProgress
from venhancer_jax.pipelines.run import run_jobs
from venhancer_jax.report.jobs import report_each


class State(enum.StrEnum):
    """State of a job, in the word that the page shows."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    UNFINISHED = "unfinished"
    FAILED = "failed"
    DONE = "done"


ACTIVE = (State.WAITING, State.RUNNING, State.CANCELLING)


class CancelledError(Exception):
    """A person cancelled the job."""


class Job:
    """A request in the queue.

    Attributes:
      id: name of the job, which sorts by age.
      request: what a person asked for.
      state: state of the job.
      message: why the job failed.
      stage: what is being done.
      done: number of finished frames of the output.
      frames: number of frames of the output; 0 while it is not known.
      seconds_left: estimated seconds to the end; None while they are not known.
      seconds: seconds that the job took.
      checked: checked video, once the job has begun.
      preview: what a preview wrote.
    """

    def __init__(self, request: Request, name: str = "") -> None:
        """Stores a request.

        Args:
          request: what a person asked for.
          name: name of the job, by default a new one.
        """
        self.id = name or f"{time.time_ns():x}"
        self.request = request
        self.state = State.WAITING
        self.checked: EnhanceJob | None = None
        self.preview: Preview | None = None
        self.reset()

    def reset(self) -> None:
        """Forgets the progress of an earlier run."""
        self.message, self.stage = "", ""
        self.done, self.frames = 0, 0
        self.seconds_left: float | None = None
        self.seconds = 0.0
        self.cancelled = threading.Event()

    def check_cancelled(self) -> None:
        """Raises CancelledError if a person cancelled the job."""
        if self.cancelled.is_set():
            raise CancelledError

    def show_stage(self, stage: str, done: int, total: int | None) -> None:
        """Stores the progress of a stage; raises CancelledError if the job is cancelled."""
        self.check_cancelled()
        self.stage = f"{stage} {done}" + (f" of {total}" if total else "")


class JobProgress(RunProgress):
    """Progress of a run that the page shows, too, and that a cancelled job ends at."""

    def __init__(self, job: Job, frames: int, finished: int = 0):
        """Sets the total; see `RunProgress`.

        Args:
          job: job in the queue.
          frames: number of frames of the output.
          finished: number of those that are finished already.
        """
        super().__init__(frames, finished)
        self._job = job
        job.frames, job.done = frames, self.done

    def update(self, stage: str, done: int, total: int | None) -> None:
        """Shows the progress of a stage.

        Raises:
          CancelledError: a person cancelled the job.
        """
        self._job.show_stage(stage, done, total)
        super().update(stage, done, total)
        self._job.done = self.done
        self._job.seconds_left = self._left(time.perf_counter())

    def finish_segment(self, count: int) -> None:
        """Counts a segment that is written.

        Raises:
          CancelledError: a person cancelled the job.
        """
        super().finish_segment(count)
        self._job.check_cancelled()

    def _left(self, now: float) -> float | None:
        """Returns the seconds to the end, from the frames that are decoded."""
        frames, since = self._first or (self._started_with, self._started)
        if self.done <= frames:
            frames, since = self._started_with, self._started
        if self.done <= frames:
            return None
        return (now - since) / (self.done - frames) * (self.frames - self.done)


class JobQueue:
    """Jobs in the order in which they were requested; one at a time runs."""

    def __init__(self, folders: Folders, model: Model | None = None) -> None:
        """Finds the unfinished jobs of an earlier server and starts the worker.

        Args:
          folders: folders of the app.
          model: holder of the loaded system.
        """
        self._folders = folders
        self.model = model or Model()
        self._store = folders.hidden / "jobs"
        self._store.mkdir(parents=True, exist_ok=True)
        self._changed = threading.Condition()
        self._jobs: list[Job] = []
        for stored in sorted(self._store.glob("*.json")):
            if (request := Request.read(stored)) is not None:
                self._jobs.append(Job(request, stored.stem))
                self._jobs[-1].state = State.UNFINISHED
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancels the running job and ends the worker."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.cancelled.set()
            self._changed.notify_all()
        self._thread.join()

    @property
    def jobs(self) -> list[Job]:
        """Returns all jobs, the oldest first."""
        with self._changed:
            return list(self._jobs)

    def find(self, name: str | None) -> Job | None:
        """Returns the job of a name; None if there is none."""
        return next((job for job in self.jobs if job.id == name), None)

    def position(self, job: Job) -> int:
        """Returns the number of jobs that come before a waiting one."""
        jobs = self.jobs
        before = jobs[: jobs.index(job)] if job in jobs else []
        return sum(other.state in ACTIVE for other in before)

    def submit(self, request: Request) -> Job:
        """Adds a job; a request that is unfinished continues its older job.

        Raises:
          InputError: the result is being written, or is unfinished with other settings.
        """
        with self._changed:
            for older in self._jobs:
                if (older.request.target, older.request.preview) != (
                    request.target,
                    request.preview,
                ):
                    continue
                name = request.target.name
                if older.state in ACTIVE:
                    raise InputError(
                        f"{name} is {older.state} already: wait for it, or cancel it first"
                    )
                same = older.request.resumed() == request.resumed()
                if (
                    not same
                    and older.state != State.DONE
                    and not request.restarts
                    and job_path(request.target).exists()
                ):
                    raise InputError(
                        f"{name} is unfinished with other settings: resume or discard that job,"
                        " choose another output, or set restart"
                    )
                self._jobs.remove(older)
                self._request_file(older).unlink(missing_ok=True)
                break
            job = Job(request)
            self._add(job)
            return job

    def again(self, job: Job) -> None:
        """Runs a job again, after its finished segments; nothing for one that is active."""
        with self._changed:
            if job.state in ACTIVE or job not in self._jobs:
                return
            self._jobs.remove(job)
            if job.state != State.DONE:
                job.request = job.request.resumed()
            job.reset()
            job.state = State.WAITING
            self._add(job)

    def cancel(self, job: Job) -> None:
        """Cancels a job; finished segments are kept. Nothing for one that is not active."""
        with self._changed:
            if job.state == State.WAITING:
                job.state = State.CANCELLED
            elif job.state == State.RUNNING:
                job.state = State.CANCELLING
                job.cancelled.set()

    def discard(self, job: Job) -> None:
        """Removes a job from the list, and its finished segments; results are kept.

        Raises:
          InputError: another run is writing the result.
        """
        with self._changed:
            if job.state in ACTIVE or job not in self._jobs:
                return
            target = job.request.target
            if job.state != State.DONE and not job.request.preview:
                self._folders.check_target(target)
                with Claim(target).held(wait=0.0):  # the command line may have resumed it
                    JobFolder(target, {}, "").remove()
            self._jobs.remove(job)
            self._request_file(job).unlink(missing_ok=True)

    def _add(self, job: Job) -> None:
        self._jobs.append(job)
        if not job.request.preview:
            job.request.write(self._request_file(job))
        self._changed.notify_all()

    def _request_file(self, job: Job) -> Path:
        return self._store / f"{job.id}.json"

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not any(j.state == State.WAITING for j in self._jobs):
                    self._changed.wait()
                if self._closed:
                    return
                job = next(j for j in self._jobs if j.state == State.WAITING)
                job.state = State.RUNNING
            started = time.perf_counter()
            state, message = self._run(job)
            job.seconds = time.perf_counter() - started
            with self._changed:
                job.state, job.message, job.stage = state, message, ""
                if state == State.DONE:
                    self._request_file(job).unlink(missing_ok=True)

    def _run(self, job: Job) -> tuple[State, str]:
        """Does a job; returns its state and why it failed."""
        try:
            problems = self._enhance(job)
        except CancelledError:
            return State.CANCELLED, ""
        except InputError as error:
            return State.FAILED, str(error)
        except Exception:
            traceback.print_exc()
            return State.FAILED, "the run ended unexpectedly; the log of the server says why"
        return (State.FAILED, problems[0]) if problems else (State.DONE, "")

    def _enhance(self, job: Job) -> Sequence[str]:
        request = job.request
        self._folders.check_source(request.source)
        self._folders.check_target(request.target)
        job.stage = "loading the model"
        config = config_of(request.arguments)
        job.checked = check_job(config, request.source, request.target, index=request.index)
        system = self.model.of(config)
        job.check_cancelled()
        job.stage = "starting"
        if request.preview:
            job.preview = self._preview(job, system, job.checked)
            return []
        finished = report_each(config) if config.report else None
        watch = functools.partial(JobProgress, job)
        problems = run_jobs(system, [job.checked], weight_facts(config), finished, watch)
        return [problem.message for problem in problems]

    def _preview(self, job: Job, system: Any, checked: EnhanceJob) -> Preview:
        job.frames = PIECES

        def show(stage: str, done: int, total: int | None) -> None:
            job.show_stage(stage, done, total)
            job.done += stage == "decode" and done == total

        system.prepare([checked.options])
        return preview_job(system, checked, show)
