"""The server by HTTP alone: what its addresses serve and what they refuse."""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="needs Gradio: pip install 'venhancer-jax[app]'")

from app.conftest import TOY
from app.http_calls import call, get

from venhancer_jax.app import __main__ as command
from venhancer_jax.app.files import Folders
from venhancer_jax.app.jobs import JobQueue
from venhancer_jax.app.serve import start_server
from venhancer_jax.pipelines.registry import SYSTEMS

MAX_UPLOAD = 20_000


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, first_clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("app") / "work"
    folder.mkdir()
    for path in (folder / "in.mp4", folder.parent / "secret.mp4"):
        path.write_bytes(first_clip.read_bytes())
    return folder


@pytest.fixture(scope="module")
def queue(work: Path) -> Iterator[JobQueue]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
        queue = JobQueue(Folders(work))
        yield queue
        queue.close()


@pytest.fixture(scope="module")
def address(work: Path, queue: JobQueue) -> Iterator[str]:
    page, address = start_server([TOY], Folders(work), queue, max_upload=MAX_UPLOAD)
    yield address
    page.close()


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "{work}/in.mp4", "{work}/.app/jobs", "{work}/../secret.mp4", "in.mp4", "../x"],
)
def test_files_are_not_served_by_their_path(path: str, address: str, work: Path):
    path = urllib.parse.quote(path.format(work=work))
    for route in ("gradio_api/file=", "file=", "job/", "static/", "assets/", "gradio_api/upload/"):
        for tail in (path, path.replace("/", "%2F")):
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(f"{address}{route}{tail}", timeout=10)
            assert error.value.code in (400, 403, 404, 405)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("input", "/etc/passwd", "outside the folders"),
        ("input", "../secret.mp4", "without &#x27;..&#x27;"),
        ("output", "/tmp/out.mp4", "outside the folders"),
        ("output", ".app/jobs/a.mp4", "hidden files"),
        ("cuts", "/etc/passwd", "outside the folders"),
    ],
)
def test_a_call_without_the_page_is_checked_too(
    key: str, value: str, words: str, address: str, queue: JobQueue
):
    changes = {"setting-input": "in.mp4", f"setting-{key}": value}
    (_, message) = call(address, "run.click", changes, f"{key}{len(value)}")["data"]
    assert words in message and 'role="alert"' in message
    assert queue.jobs == []


def test_an_upload_that_is_none_moves_no_file(address: str, work: Path):
    for path in (work / "in.mp4", work.parent / "secret.mp4"):
        forged = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        output = call(address, "upload.upload", {"upload": forged}, f"forged{path.stem}")
        assert "error" in output and "data" not in output
        assert path.exists() and not (work / "uploads").exists()


def test_results_are_named_by_their_job(address: str):
    for tail in ("job/1/player", "job/../download", "job/%2e%2e/download", "job/1/other"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{address}{tail}", timeout=10)
        assert error.value.code == 404


def test_an_upload_beyond_the_limit_is_refused(address: str, work: Path):
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    body = head + bytes(MAX_UPLOAD + 1) + b"\r\n--x--\r\n"
    request = urllib.request.Request(
        f"{address}gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=x"}
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    assert error.value.code == 413
    assert not [*work.rglob("a.mp4")]


def test_the_page_names_no_other_server(address: str):
    config = get(f"{address}config")
    assert config["analytics_enabled"] is False and config["run_history"] is False
    assert not [sheet for sheet in config["stylesheets"] if "//" in sheet]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port=high"], "port 'high': expected a whole number"),
        (["--max_upload=0"], "max_upload '0': expected a whole number"),
        (["--allow=absent"], "allow absent: no such folder"),
        (["--config.steps=0"], "steps 0: expected a whole number from 1"),
        (["--config.stebs=1"], "Did you mean 'steps'?"),
        (["--folder=/proc/new"], "folder /proc/new: cannot be created"),
        (["--host=203.0.113.1"], "Choose another --port"),
    ],
)
def test_what_the_command_refuses(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
    monkeypatch: Any,
):
    monkeypatch.chdir(tmp_path)
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_without_gradio(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert command.main([]) == 2
    assert "pip install 'venhancer-jax[app]'" in capsys.readouterr().err
