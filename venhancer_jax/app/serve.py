"""The server: Gradio without analytics, without fonts or scripts from elsewhere."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

# Read when Gradio is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from gradio.themes import Soft
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from venhancer_jax.app.compare import download, player_video
from venhancer_jax.app.files import Folders
from venhancer_jax.app.jobs import Job, JobQueue, State
from venhancer_jax.app.page import CSS, build_page, shown_folder
from venhancer_jax.errors import InputError
from venhancer_jax.report.page import page_path

# What the server sends of a job.
RESULTS = ("player", "download", "report")


def start_server(
    start: Sequence[str],
    folders: Folders,
    queue: JobQueue,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    max_upload: int,
) -> tuple[gr.Blocks, str]:
    """Starts the server in a thread of its own.

    Args:
      start: arguments of the command line that the app was started with.
      folders: folders of the app.
      queue: jobs.
      host: address to listen on.
      port: port to listen on; None for a free one.
      max_upload: largest upload in bytes.

    Returns:
      The page, whose `close` ends the server, and its address.

    Raises:
      InputError: the address is in use or not one of this machine.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folders.hidden / "uploads")
    page = build_page(start, folders, queue)
    # The reader's own fonts; Gradio's would come from another server.
    theme = Soft(
        primary_hue="teal", neutral_hue="slate", font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        block_title_background_fill="none", block_title_padding="0",
        block_title_text_color="*body_text_color", block_border_width="1px",
        block_border_color="*neutral_200", block_border_color_dark="*neutral_700",
        checkbox_border_color="*neutral_500", checkbox_border_color_dark="*neutral_400",
        input_border_width="1px", input_border_color="*neutral_300",
        body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
    )  # fmt: skip
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            inbrowser=False,
            theme=theme,
            css=CSS,
            max_file_size=max_upload,
            # Gradio serves what it shows from its own cache; nothing else.
            allowed_paths=[],
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            app_kwargs={"routes": _routes(folders, queue), "docs_url": None, "redoc_url": None},
        )
    except OSError as error:
        raise InputError(f"port {port} of {host}: {error}. Choose another --port") from error
    return page, address


def _routes(folders: Folders, queue: JobQueue) -> list[Any]:
    """Returns the addresses of results; they name jobs, never files."""

    def send(what: str, request: Request) -> Response:
        job = queue.find(request.path_params["name"])
        if job is None or job.checked is None or job.state != State.DONE:
            return PlainTextResponse("no such result", status_code=404)
        try:
            path = _file_of(job, what, shown_folder(folders, job))
            if not path.is_relative_to(folders.hidden):
                folders.check_target(path)
        except (InputError, OSError) as error:
            return PlainTextResponse(str(error), status_code=404)
        if not path.is_file():
            return PlainTextResponse(f"{path.name} is gone", status_code=404)
        return FileResponse(path, filename=path.name if what == "download" else None)

    return [Route(f"/job/{{name}}/{what}", partial(send, what)) for what in RESULTS]


def _file_of(job: Job, what: str, folder: Path) -> Path:
    """Returns the file to send: the player's video, the download, or the report of a job."""
    assert job.checked is not None
    folder.mkdir(parents=True, exist_ok=True)
    if what == "report":
        return page_path(job.request.target)
    if what == "player":
        video = job.request.target if job.preview is None else job.preview.video
        return player_video(video, folder)
    return download(job.checked, folder) if job.preview is None else job.preview.video
