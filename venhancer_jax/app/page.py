"""Layout of the page, and what its buttons do."""

import html
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import gradio as gr

from venhancer_jax.app import status
from venhancer_jax.app.arguments import config_of, rows_of
from venhancer_jax.app.compare import result_info, split_still, write_pair
from venhancer_jax.app.controls import FIRST, control
from venhancer_jax.app.files import Folders
from venhancer_jax.app.jobs import ACTIVE, Job, JobQueue, State
from venhancer_jax.app.request import make_requests
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import system_of
from venhancer_jax.video import probe

TICK_SECONDS = 0.7
CSS = """
.gradio-container > main { max-width: 1280px !important; margin: auto; width: 100%; }
.quiet { color: var(--body-text-color-subdued); font-size: .9rem; }
.error { border-left: 3px solid #c2410c; background: #c2410c14; padding: .6rem .8rem;
  margin-top: .6rem; overflow-wrap: anywhere; }
.job .title { display: flex; justify-content: space-between; gap: 1rem; overflow-wrap: anywhere; }
.job .state { color: var(--body-text-color-subdued); }
#command pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; }
#command summary { cursor: pointer; font-size: .9rem; }
.bar { height: 8px; border-radius: 4px; margin: .6rem 0; overflow: hidden;
  background: var(--border-color-primary); }
.bar div { height: 100%; background: var(--color-accent); transition: width .5s; }
.bar.busy div { width: 30% !important; animation: busy 1.6s ease-in-out infinite alternate; }
.job.failed .bar div { background: #c2410c; }
@keyframes busy { from { margin-left: 0; } to { margin-left: 70%; } }
@media (prefers-reduced-motion: reduce) { .bar.busy div { animation: none; } }
video { width: 100%; border-radius: 4px; background: #000; }
a.download { color: var(--body-text-color) !important; display: inline-block;
  padding: .5rem 1rem; border-radius: 6px;
  border: 1px solid var(--border-color-primary); text-decoration: none; font-weight: 600; }
footer { display: none !important; }
"""


def build_page(start: Sequence[str], folders: Folders, queue: JobQueue) -> gr.Blocks:
    """Builds the page.

    Args:
      start: arguments of the command line that the app was started with.
      folders: folders of the app.
      queue: jobs.
    """
    config = config_of(start)
    rows = {row.key: row for row in rows_of(config)}
    first = [rows[key] for key in FIRST if key in rows]
    rest = [row for row in rows.values() if row not in first and row.key != "input"]
    controls: dict[str, Any] = {}
    with gr.Blocks(
        title="venhancer",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(3600, 7 * 86400),
    ) as page:
        selected, shown = gr.State(None), gr.State(None)
        gr.HTML(
            "<h1>Enhance a video</h1><div class='quiet'>"
            f"Model {html.escape(config.preset or system_of(config))}; results in"
            f" {html.escape(str(folders.work))}</div>"
        )
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                upload = gr.File(label="Video or picture", height=160, elem_id="upload")
                controls["input"] = control(rows["input"])
                facts = gr.HTML(elem_id="facts")
                for row in first:
                    controls[row.key] = control(row)
                with gr.Row():
                    preview = gr.Button("Preview", min_width=100, elem_id="preview")
                    run = gr.Button("Run", variant="primary", min_width=100, elem_id="run")
                message = gr.HTML(elem_id="message")
            with gr.Column(scale=6, min_width=320):
                menu = gr.Dropdown([], label="Job", filterable=False, visible=False, elem_id="jobs")
                panel = gr.HTML(elem_id="panel")
                with gr.Row(visible=False) as buttons:
                    cancel = gr.Button("Cancel", min_width=90, elem_id="cancel")
                    again = gr.Button("Run again", min_width=90, elem_id="again")
                    discard = gr.Button("Discard", min_width=90, elem_id="discard")
                shell = gr.HTML(elem_id="command")
                with gr.Column(visible=False) as result:
                    slider = gr.ImageSlider(
                        type="filepath", format="png", show_label=False, elem_id="compare",
                        interactive=False, buttons=["fullscreen"],
                    )  # fmt: skip
                    frame = gr.Slider(
                        0, 1, value=0, step=1, label="Frame", elem_id="frame", interactive=True
                    )
                    watch = gr.HTML(elem_id="watch")
        gr.HTML("<h3>All settings</h3>")
        for group, members in groupby(rest, lambda row: row.group):
            with gr.Accordion(group.capitalize(), open=False), gr.Row():
                for row in members:
                    with gr.Column(min_width=300):
                        controls[row.key] = control(row)

        keys, inputs = list(controls), list(controls.values())
        views = [
            panel, shown, menu, buttons, cancel, again, discard, shell, result, slider, frame, watch
        ]  # fmt: skip

        def submit(name: str | None, wants_preview: bool, values: Sequence[Any]) -> tuple[Any, str]:
            try:
                requests, problems = make_requests(
                    folders, start, dict(zip(keys, values, strict=True)), preview=wants_preview
                )
                jobs = [queue.submit(request) for request in requests]
            except (InputError, OSError) as error:
                return name, status.error_html(str(error))
            return jobs[0].id, "".join(map(status.error_html, problems))

        def refresh(name: str | None, before: Any) -> list[Any]:
            """Updates what has changed since the last time."""
            job = queue.find(name) or next(reversed(queue.jobs), None)
            now = job and (job.id, job.state, job.seconds), status.choices(queue)
            lines = status.job_html(queue, job) + status.others_html(queue, job)
            if now == before:
                return [lines, *[gr.skip()] * (len(views) - 1)]
            active = job is not None and job.state in ACTIVE
            stopping = job is not None and job.state == State.CANCELLING
            return [
                lines,
                now,
                gr.update(choices=now[1], value=job.id if job else None, visible=len(now[1]) > 1),
                gr.update(visible=job is not None),
                gr.update(interactive=active and not stopping),
                gr.update(interactive=not active),
                gr.update(interactive=not active),
                status.command_html(job),
                *_show_result(job, folders),
            ]

        def act(what: Any, name: str | None) -> str:
            job = queue.find(name) or next(reversed(queue.jobs), None)
            try:
                if job is not None:
                    what(job)
            except (InputError, OSError) as error:
                return status.error_html(str(error))
            return ""

        def take_upload(path: str | None) -> tuple[Any, str]:
            if path is None:
                return gr.skip(), ""
            try:
                stored = folders.keep_upload(Path(path))
                try:
                    return str(stored), status.facts_html(probe(stored))
                except InputError:
                    stored.unlink()
                    raise
            except (InputError, OSError) as error:
                text = str(error).replace(f"{folders.work}/uploads/", "")
                return gr.skip(), status.error_html(text)

        def show_facts(text: str) -> str:
            if not text.strip():
                return ""
            try:
                path = folders.find(text, "input")
                folders.check_source(path)
                return "" if path.is_dir() else status.facts_html(probe(path))
            except (InputError, OSError) as error:
                return status.error_html(str(error))

        def show_frame(name: str | None, index: float) -> Any:
            job = queue.find(name) or next(reversed(queue.jobs), None)
            if job is None or job.checked is None or job.state != State.DONE or job.preview:
                return gr.skip()
            try:
                info = result_info(job.checked)
                index = min(max(0, int(index)), len(info.times) - 1)
                return write_pair(job.checked, info, index, shown_folder(folders, job))
            except (InputError, OSError) as error:
                raise gr.Error(str(error)) from error

        quick: dict[str, Any] = {
            "queue": False,
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        refreshed: dict[str, Any] = {
            "fn": refresh, "inputs": [selected, shown], "outputs": views, **quick
        }  # fmt: skip
        for button, wants_preview in ((run, False), (preview, True)):
            button.click(
                lambda name, *values, wants=wants_preview: submit(name, wants, values),
                [selected, *inputs],
                [selected, message],
                api_visibility="private",
                show_progress="hidden",
                trigger_mode="once",
            ).then(**refreshed)
        for button, what in (
            (cancel, queue.cancel), (again, queue.again), (discard, queue.discard)
        ):  # fmt: skip
            button.click(lambda name, what=what: act(what, name), selected, message, **quick).then(
                **refreshed
            )
        menu.input(lambda name: name, menu, selected, **quick).then(**refreshed)
        upload.upload(
            take_upload,
            upload,
            [controls["input"], facts],
            api_visibility="private",
            show_progress="minimal",
        )
        for event in (controls["input"].submit, controls["input"].blur):
            event(show_facts, controls["input"], facts, **quick)
        frame.release(show_frame, [selected, frame], slider, **quick)
        page.load(**refreshed)
        page.load(lambda: show_facts(config.input), None, facts, **quick)
        gr.Timer(TICK_SECONDS).tick(**refreshed)
    return page


def shown_folder(folders: Folders, job: Job) -> Path:
    """Returns the folder of what is shown of a run of a job."""
    return folders.hidden / "shown" / f"{job.id}-{job.seconds:.6f}"


def _show_result(job: Job | None, folders: Folders) -> list[Any]:
    """Returns updates of the result, its comparison, its frames and its player."""
    if job is None or job.state != State.DONE or job.checked is None:
        return [gr.update(visible=False), None, gr.skip(), ""]
    try:
        if job.preview is not None:
            pair, frames = split_still(job.preview, shown_folder(folders, job)), 0
        else:
            info = result_info(job.checked)
            frames = len(info.times)
            pair = write_pair(job.checked, info, frames // 2, shown_folder(folders, job))
    except (InputError, OSError) as error:  # such as a result that was moved
        return [gr.update(visible=True), None, gr.skip(), status.error_html(str(error))]
    choose = gr.update(visible=frames > 1, maximum=max(1, frames - 1), value=frames // 2)
    return [gr.update(visible=True), pair, choose, status.result_html(job)]
