"""The state of jobs as HTML."""

import html

from tqdm import tqdm

from venhancer_jax.app.arguments import command
from venhancer_jax.app.jobs import ACTIVE, Job, JobQueue, State
from venhancer_jax.report.page import page_path
from venhancer_jax.video import VideoInfo


def title(job: Job) -> str:
    """Returns what a job writes, and that it is a preview."""
    name = job.request.target.name
    return f"Preview of {name}" if job.request.preview else name


def choices(queue: JobQueue) -> list[tuple[str, str]]:
    """Lists all jobs for a menu, the newest first: what is shown, and the name of the job."""
    return [(f"{title(job)} ({job.state})", job.id) for job in reversed(queue.jobs)]


def job_html(queue: JobQueue, job: Job | None) -> str:
    """Shows a job: state, progress, time left, and what went wrong."""
    if job is None:
        return '<p class="quiet">Nothing here yet. Choose a video, then Preview or Run.</p>'
    share = job.done / job.frames if job.frames else 0.0
    share = 1.0 if job.state == State.DONE else share
    unit = "piece" if job.request.preview else "frame"
    facts = []
    if job.state == State.WAITING:
        before = queue.position(job)
        facts.append(f"position {before + 1} in the queue" if before else "next")
    if job.frames and job.state != State.DONE:
        facts.append(f"{unit} {job.done} of {job.frames}")
    if job.state in ACTIVE and job.stage:
        facts.append(job.stage)
    if job.state == State.RUNNING and job.seconds_left is not None:
        facts.append(f"about {tqdm.format_interval(job.seconds_left)} left")
    if job.state == State.CANCELLING:
        facts.append("ends after the step that is being computed")
    if job.state == State.DONE:
        facts.append(f"took {tqdm.format_interval(job.seconds)}")
        if job.preview is not None:
            whole = tqdm.format_interval(job.preview.seconds)
            facts.append(f"the whole would take about {whole}")
    if job.state in (State.CANCELLED, State.UNFINISHED):
        facts.append("Run again resumes after what is finished")
    busy = " busy" if job.state in (State.RUNNING, State.CANCELLING) and not job.frames else ""
    lines = [
        f'<div class="job {job.state}"><div class="title"><b>{html.escape(title(job))}</b>'
        f'<span class="state">{job.state}</span></div>',
        f'<div class="bar{busy}" role="progressbar" aria-label="progress"'
        f' aria-valuenow="{share:.0%}"><div style="width:{share:.1%}"></div></div>',
        f'<div class="quiet">{html.escape(" · ".join(facts))}</div>',
    ]
    if job.message:
        lines.append(error_html(job.message))
    return "".join([*lines, "</div>"])


def command_html(job: Job | None) -> str:
    """Shows the command that does the same as a job."""
    if job is None:
        return ""
    text = html.escape(command(job.request.arguments))
    return f"<details><summary>Command that does the same</summary><pre>{text}</pre></details>"


def others_html(queue: JobQueue, shown: Job | None) -> str:
    """Lists the active jobs besides the one that is shown, a line each."""
    lines = []
    for job in queue.jobs:
        if job.state in ACTIVE and job is not shown:
            before = queue.position(job)
            state = f"waiting, position {before + 1}" if before else str(job.state)
            if job.frames:
                state += f", {job.done / job.frames:.0%}"
            lines.append(f"<li>{html.escape(title(job))}: {state}</li>")
    return f'<ul class="quiet">{"".join(lines)}</ul>' if lines else ""


def error_html(message: str) -> str:
    """Shows what is wrong; settings are named as on the page."""
    text = message.replace("--config.", "").removeprefix("config.")
    return f'<div class="error" role="alert">{html.escape(text)}</div>'


def facts_html(info: VideoInfo) -> str:
    """Shows the facts of a video in a line."""
    seconds = float(info.duration)
    sound = f", sound {info.audio_codec}" if info.audio_codec else ""
    frames = "a picture" if info.frames == 1 else f"{len(info.times)} frames, {seconds:.1f} s"
    rate = "" if info.frames == 1 else f", {float(info.rate):.5g} a second"
    text = f"{info.width} x {info.height}, {frames}{rate}, {info.codec}{sound}"
    return f'<div class="quiet">{html.escape(text)}</div>'


def result_html(job: Job) -> str:
    """Shows the player and the download of a result."""
    name = html.escape(job.request.target.name)
    what = "preview" if job.request.preview else "result"
    source = f"job/{job.id}/player?run={job.seconds:.3f}"
    player = f'<video src="{source}" controls loop muted playsinline preload="metadata"></video>'
    if job.checked is not None and job.checked.is_still:
        player = ""
    links = [f'<a class="download" href="job/{job.id}/download" download>Download the {what}</a>']
    if not job.request.preview and page_path(job.request.target).exists():
        links.append(f'<a class="download" href="job/{job.id}/report" target="_blank">Report</a>')
    written = "" if job.request.preview else f'<p class="quiet">{name}: unchanged, as written</p>'
    return f"{player}<p>{' '.join(links)}</p>{written}"
