"""The server: Gradio without analytics, without fonts or scripts from elsewhere."""

import os
from collections.abc import Sequence
from typing import Any

# Read when Gradio is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from venhancer_jax.app.compare import download, player_video
from venhancer_jax.app.files import Folders
from venhancer_jax.app.jobs import JobQueue, State
from venhancer_jax.app.page import CSS, build_page
from venhancer_jax.errors import InputError


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
    theme = gr.themes.Soft(
        primary_hue="teal", neutral_hue="slate", font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        block_title_background_fill="none", block_title_padding="0",
        block_title_text_color="*body_text_color", block_label_background_fill="none",
        block_label_text_color="*body_text_color_subdued",
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

    def player(request: Request) -> Response:
        return _send(request, as_download=False)

    def saved(request: Request) -> Response:
        return _send(request, as_download=True)

    def _send(request: Request, *, as_download: bool) -> Response:
        job = queue.find(request.path_params["name"])
        if job is None or job.checked is None or job.state != State.DONE:
            return PlainTextResponse("no such result", status_code=404)
        folder = folders.hidden / "shown" / f"{job.id}-{job.seconds:.6f}"
        try:
            if job.preview is not None:
                path = job.preview.video
            elif as_download:
                path = download(job.checked, folder)
            else:
                path = job.request.target
            if not as_download:
                folder.mkdir(parents=True, exist_ok=True)
                path = player_video(path, folder)
            if not path.is_relative_to(folders.hidden):
                folders.check_target(path)
        except (InputError, OSError) as error:
            return PlainTextResponse(str(error), status_code=404)
        if not path.exists():
            return PlainTextResponse(f"{path.name} is gone", status_code=404)
        name = path.name if as_download else None
        return FileResponse(path, filename=name)

    return [
        Route("/job/{name}/player", player),
        Route("/job/{name}/download", saved),
    ]
