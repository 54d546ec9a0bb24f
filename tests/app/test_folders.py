"""Nothing outside the folders of the page is read or written."""

from pathlib import Path

import pytest
from pipelines.tiny_system import clip
from video.video_clips import make_video

from venhancer_jax.app.files import Folders
from venhancer_jax.app.request import make_requests
from venhancer_jax.errors import InputError


def test_paths_inside_are_found(work: Path, tmp_path: Path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    (work / "link.mp4").symlink_to("in.mp4")
    folders = Folders(work, [tmp_path / "videos"])
    assert folders.find("in.mp4", "input") == work / "in.mp4"
    assert folders.find("a.mp4", "input") == tmp_path / "videos" / "a.mp4"
    assert folders.find(str(work / "new" / "out.mp4"), "output") == work / "new" / "out.mp4"
    assert folders.find("link.mp4", "input") == work / "link.mp4"


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../secret.mp4", "sub/../../secret.mp4", "out.mp4/..", "link/secret.mp4",
     "secret_link.mp4", ".app/jobs/a.json", "loop", "~root/x.mp4/../..", "a\0.mp4"],
)  # fmt: skip
def test_paths_outside_are_refused(path: str, work: Path, tmp_path: Path):
    (tmp_path / "secret.mp4").touch()
    (work / "link").symlink_to(tmp_path)
    (work / "secret_link.mp4").symlink_to(tmp_path / "secret.mp4")
    (work / "loop").symlink_to(work / "loop")
    folders = Folders(work)
    for name in ("input", "output"):
        with pytest.raises(InputError, match=name):
            folders.find(path, name)
    with pytest.raises(InputError, match="output"):
        folders.check(tmp_path / "secret.mp4", "output")


def test_what_is_read_beside_an_input_and_written_beside_an_output(work: Path, tmp_path: Path):
    (tmp_path / "secret.txt").write_text("a secret")
    folders = Folders(work)
    folders.check_source(work / "in.mp4")
    (work / "in.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InputError, match=r"in\.txt: outside"):
        folders.check_source(work / "in.mp4")
    (work / "pictures").mkdir()
    (work / "pictures" / "0001.png").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InputError, match=r"0001\.png: outside"):
        folders.check_source(work / "pictures")
    (work / "out.mp4.job").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"out\.mp4\.job: outside"):
        folders.check_target(work / "out.mp4")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("prompt_file", "/etc/passwd"),
        ("cuts", "/etc/passwd"),
        ("compilation_cache", "/tmp/elsewhere"),
        ("compilation_cache", "gs://bucket"),
        ("compilation_cache", ".."),
        ("prompt_file", "in.txt"),
        ("codec_options", "x264-params=stats=/tmp/a"),
        ("codec_options", "stats=a"),
        ("codec_options", "preset=/tmp/a"),
        ("output", "/tmp/out.mp4"),
        ("input", "/etc/passwd"),
        ("coordinator", "elsewhere:1234"),
        ("distributed", True),
    ],
)
def test_settings_that_open_something_are_refused(
    key: str, value: object, work: Path, toy: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(work)
    values = {"input": "in.mp4", "output": "out.mp4", key: value}
    refused = r"outside the folders|only when the app is started|without '\.\.'|one host|in\.txt"
    with pytest.raises(InputError, match=refused):
        make_requests(Folders(work), toy, values)
    assert {path.name for path in work.iterdir()} == {"in.mp4"}


@pytest.mark.parametrize("key", ["checkpoint", "captioner", "vae_checkpoint"])
@pytest.mark.parametrize("value", ["os:system", "https://example.org/a.pt", "/etc/a.pt", "a/../b"])
def test_checkpoints_and_code_come_from_who_starts_the_app(key: str, value: str, work: Path):
    start = ["--config=upscale_a_video"]
    with pytest.raises(InputError, match=key):
        make_requests(Folders(work), start, {"input": "in.mp4", key: value})


def test_settings_that_open_what_is_allowed(work: Path, toy: list[str]):
    (work / "cuts.txt").write_text("3\n")
    values = {
        "input": "in.mp4",
        "output": "new/out.mkv",
        "cuts": "cuts.txt",
        "codec_options": "crf=20:preset=slow",
        "prompt": "/etc/passwd, at night: a fox",  # text, which names nothing to open
    }
    ((request,), problems) = make_requests(Folders(work), toy, values)
    assert not problems
    assert (request.source, request.target) == (work / "in.mp4", work / "new" / "out.mkv")
    assert "--config.codec_options=crf=20:preset=slow" in request.arguments
    assert f"--config.cuts={work / 'cuts.txt'}" in request.arguments
    assert f"--config.prompt={values['prompt']}" in request.arguments
    # Equal to what the app was started with.
    start = [*toy, "--config.codec_options=crf=20:threads=2"]
    make_requests(Folders(work), start, {"input": "in.mp4", "output": "a.mp4"})


def test_a_playlist_opens_no_other_file(work: Path, tmp_path: Path):
    make_video(tmp_path / "secret.ts", clip(3))
    folders = Folders(work)
    for number, name in enumerate((str(tmp_path / "secret.ts"), "../secret.ts")):
        playlist = work / f"{number}.m3u8"
        playlist.write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.1,\n{name}\n#EXT-X-ENDLIST"
        )
        with pytest.raises(InputError, match="not a video or image file"):
            make_requests(folders, ["--config=demo"], {"input": playlist.name})


def test_an_upload_is_stored_once_and_never_over_another(work: Path):
    folders = Folders(work)

    def upload(content: str, name: str = "a.mp4") -> Path:
        path = folders.hidden / "uploads" / content / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return folders.keep_upload(path)

    assert upload("one") == work / "uploads" / "a.mp4" == upload("one")
    assert upload("two") == work / "uploads" / "a-2.mp4"
    assert (work / "uploads" / "a.mp4").read_text() == "one"
    with pytest.raises(InputError, match="not an upload"):
        folders.keep_upload(work / "in.mp4")
    assert (work / "in.mp4").exists()
