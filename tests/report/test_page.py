"""The page of a result: what is in it, that texts stay texts, and that nothing leaves it."""

import base64
import hashlib
import itertools
import json
import re
import shlex
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report.report_clips import ATTACK, HOSTILE, RUN, config_of, make_pair
from video.video_clips import level_frames, make_video

from venhancer_jax.cli.report import main
from venhancer_jax.cli.sample import parse_sample_config
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.report import page_path, pictures, write_report
from venhancer_jax.report.changes import MOST_FRAMES, measure_changes, sampled_runs
from venhancer_jax.report.clips import open_input, open_output
from venhancer_jax.report.html import read_record
from venhancer_jax.report.pictures import choose_frames, encode_loop, encode_picture
from venhancer_jax.report.settings import config_of_job, repeat_command, setting_rows
from venhancer_jax.video import read_frames

MOST_BYTES = 12 * 2**20


class Page(HTMLParser):
    """Elements of a page, and its texts by element."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        for tag in set(self._open):
            self.texts.setdefault(tag, []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> str:
        return "".join(self.texts.get(tag, []))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def written(pair: tuple[Path, Path]) -> Path:
    source, target = pair
    return write_report(source, target, config=config_of(source, target), run=RUN, reference=target)


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written)


def test_page_is_beside_the_result_and_bounded(written: Path, pair: tuple[Path, Path]):
    assert written == page_path(pair[1]) == pair[1].with_name(pair[1].name + ".html")
    assert written.stat().st_size < MOST_BYTES


def test_texts_stay_texts(page: Page):
    assert page.text("h1") == f"out {HOSTILE}.mp4"
    assert ATTACK in page.text("dd")
    assert len(page.all("script")) == 2
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert not [attributes for attributes in page.all("img") if attributes.get("src") == "x"]
    assert "49" not in page.text("h1")


def test_nothing_leaves_the_page(page: Page, written: Path):
    for tag, attributes in page.elements:
        for name in ("src", "href", "poster", "action", "data", "srcset"):
            if (value := attributes.get(name)) is not None:
                assert value.startswith(("data:", "#")), (tag, name, value[:50])
    text = re.sub(r"data:[\w/]+;base64,[\w+/=]+", "", written.read_text())
    assert not re.findall(r"(?:https?:)?//[a-z]", text)
    assert "url(" not in text
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        body = re.findall(rf"<{tag}>(.*?)</{tag}>", written.read_text(), re.DOTALL)[-1]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_page_can_be_read_without_eyes(page: Page):
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert page.all("html")[0]["lang"] == "en"
    assert all("alt" in image for image in page.all("img"))
    assert all("aria-label" in i for i in page.all("input") if i["type"] == "range")
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a} <= ids
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_facts_stages_seams_and_scores(page: Page):
    cells = page.text("td")
    for fact in ("64 × 48", "128 × 96", "10 per second", "20 per second", "0.80 s", "h264"):
        assert fact in cells
    for i, stage in enumerate(("Read", "Encode", "Denoise", "Decode", "Write")):
        assert stage in page.text("th")
        assert f"{1.5 + i:.2f} s" in cells
    assert "1.2 GiB" in cells
    assert "in 2 runs" in page.text("dd")
    assert "1 segment border: " in page.text("figcaption")
    assert "1 tile border: " in page.text("figcaption")
    assert "PSNR, dB" in page.text("th")
    assert "inf" in cells


def test_changed_settings_come_first(page: Page, written: Path, pair: tuple[Path, Path]):
    rows = setting_rows(config_of(*pair))
    changed = {row.key for row in rows if row.differs}
    assert changed == {"input", "output", "prompt", "up_scale", "fps_scale"}
    keys = page.texts["dt"]
    keys = keys[keys.index("input") :]
    assert set(keys[:5]) == changed
    assert {row.key for row in rows} <= set(keys[5:])
    first_letters = re.findall(r"instead of <bdi>.*?</bdi>\. (.)", written.read_text())
    assert len(first_letters) == 5 and "".join(first_letters).isupper()


def test_values_that_are_empty_are_called_none():
    rows = setting_rows(enhancement_config("upscale_a_video"))
    empty = {row.key for row in rows if row.value == "none"}
    assert {"input", "propagation_steps"} <= empty
    assert all(row.value and row.default for row in rows)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"target_size": (96, 128), "target_fps": "30000/1001", "negative_prompt": "a b"},
        {"max_frames": 3, "guidance_interval": (0, 500), "allow_damaged": True},
    ],
)
def test_command_repeats_the_run(changes: dict, pair: tuple[Path, Path]):
    config = config_of(*pair).unlock()
    config.update(changes)
    config.mesh.data = 1
    command = shlex.split(repeat_command(config))
    assert command[:2] == ["venhancer-jax", "sample"]
    repeated, _ = parse_sample_config(command[2:])
    assert repeated is not None
    assert repeated.to_dict() == config.to_dict()


def test_command_of_one_video_of_a_folder():
    config = config_of(Path("in"), Path("out")).unlock()
    config.prompt_file, config.name_as_prompt, config.share = "prompts.txt", True, True
    alone = config_of_job(config.lock(), Path("in/a.mp4"), Path("out/a.mp4"), "a bird")
    assert (alone.input, alone.output, alone.prompt) == ("in/a.mp4", "out/a.mp4", "a bird")
    assert "prompts.txt" not in repeat_command(alone)
    assert config.input == "in"


def test_later_page_keeps_what_the_run_recorded(tmp_path: Path):
    source, target = make_pair(tmp_path)
    config = config_of(source, target)
    first = write_report(source, target, config=config, run=RUN)
    assert main([f"--input={source}", f"--output={target}"]) == 0
    record = read_record(first)
    assert record is not None
    assert record["run"] == json.loads(json.dumps(RUN.to_dict()))
    assert list(record["run"]["stages"]) == list(RUN.stages)
    assert repeat_command(config).replace("'", "&#39;").partition(" ")[0] in first.read_text()
    assert record["config"]["prompt"] == ATTACK


def test_page_of_any_two_videos(tmp_path: Path):
    source, target = make_pair(tmp_path)
    page = Page(write_report(source, target))
    assert page.text("h1") == target.name
    assert "Settings" not in page.text("h2")
    assert "Time and memory" not in page.text("h2")


def test_other_files_are_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture):
    source, target = make_pair(tmp_path)
    page_path(target).write_text("<html>my own page</html>")
    assert main([f"--input={source}", f"--output={target}"]) == 2
    assert "is no report" in capsys.readouterr().err
    assert page_path(target).read_text() == "<html>my own page</html>"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input=none.mp4", "--output=none.mp4"], "none.mp4"),
        (["--input=none.mp4"], "give --input and --output"),
        (["--folder=none"], "expected a folder"),
        (["--folder=.", "--output=none.mp4"], "goes alone"),
    ],
)
def test_wrong_inputs(arguments: list[str], message: str, capsys: pytest.CaptureFixture):
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed


def test_reference_of_another_size(pair: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(InputError, match="give a reference of the same size and length"):
        write_report(*pair, reference=pair[0], page=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_frames_are_those_of_the_same_time(pair: tuple[Path, Path]):
    source, target = open_input(pair[0], None), open_output(pair[1], Fraction(20))
    changes = measure_changes(target, source, RUN)
    chosen = choose_frames(source, target, changes, RUN.scenes)
    assert list(chosen) == sorted(chosen)
    assert {"Middle", "After a cut", "Start", "End"} <= set(chosen.values())
    for index in chosen:
        before = source.frame(source.index_at(target.seconds_at(index)))
        assert abs(before.mean() - target.frame(index).mean()) < 1


def test_video_has_the_input_above_the_output_at_its_time(tmp_path: Path):
    source = make_video(tmp_path / "in.mp4", level_frames(8), rate=Fraction(10))
    darker = [frame - 5 for frame in level_frames(8) for _ in range(2)]
    target = make_video(tmp_path / "out.mp4", darker, rate=Fraction(20))
    loop = encode_loop(open_input(source, None), open_output(target, Fraction(20)))
    assert loop is not None
    assert (loop.width, loop.height, loop.seconds) == (64, 48, 0.8)
    (tmp_path / "loop.mp4").write_bytes(base64.b64decode(loop.uri.partition(",")[2]))
    for i, frame in enumerate(read_frames(tmp_path / "loop.mp4")):
        assert frame.shape == (96, 64, 3)
        assert abs(frame[:48].mean() - 10 * (i // 2 + 1)) < 2
        assert abs(frame[48:].mean() - (10 * (i // 2 + 1) - 5)) < 2
    assert i == 15


def test_video_is_small_or_smaller(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pictures, "VIDEO_BYTES", 2500)
    noise = np.random.default_rng(0).integers(0, 256, (4, 96, 128, 3), np.uint8)
    clip = open_output(make_video(pair[0].with_name("noise.mp4"), list(noise)), Fraction(24))
    loop = encode_loop(clip, clip)
    assert loop is not None
    assert len(base64.b64decode(loop.uri.partition(",")[2])) <= 2500


def test_part_that_was_enhanced_is_compared(pair: tuple[Path, Path]):
    config = config_of(*pair).unlock()
    config.start_time, config.max_frames = 0.3, 4
    source = open_input(pair[0], config)
    assert (source.first, source.frames) == (3, 4)
    assert source.index_at(0.1) == 1
    assert abs(source.frame(1).mean() - 50) < 1  # of the fifth frame


def test_seam_that_shows_is_measured(tmp_path: Path):
    """Frames drift by 2 levels, and jump by 20 at a border; at a cut they jump by 100."""
    levels = np.cumsum([60, *[2] * 5, 20, *[2] * 4, 100, *[2] * 4])
    frames = [np.full((32, 32, 3), level, np.uint8) for level in levels]
    clip = open_output(make_video(tmp_path / "a.mp4", frames), Fraction(24))
    run = replace(RUN, segments=(6,), windows=(3,), scenes=(11,), rows=())
    time = measure_changes(clip, clip, run).time
    assert time is not None
    assert time.index("segments") == pytest.approx(10, rel=0.1)
    assert time.index("windows") == pytest.approx(1, rel=0.1)
    hidden = measure_changes(clip, clip, replace(run, scenes=())).time
    assert hidden is not None
    assert (hidden.index("segments") or 0) < 5


def test_new_frames_are_no_seams(tmp_path: Path):
    """Every second frame is new and close to the one before it; the input moves evenly."""
    source = level_frames(12, 32, 32)
    between = [[x, x + 2] for x in source]
    frames = [x.astype(np.uint8) for pair in between for x in pair]
    before = open_input(make_video(tmp_path / "in.mp4", source, rate=Fraction(12)), None)
    after = open_output(make_video(tmp_path / "out.mp4", frames, rate=Fraction(24)), Fraction(24))
    run = replace(RUN, segments=(6, 12), windows=(), scenes=(), rows=())
    time = measure_changes(after, before, run).time
    assert time is not None
    assert time.index("segments") == pytest.approx(1, rel=0.1)
    assert time.baseline["segments"] == pytest.approx(1, rel=0.1)


def test_long_results_are_sampled_around_borders():
    borders = list(range(100, 100_000, 100))
    for chosen in (borders, borders[:3], []):
        runs = sampled_runs(100_000, chosen)
        assert sum(stop - start for start, stop in runs) <= 2 * MOST_FRAMES
        assert all(stop < start for (_, stop), (start, _) in itertools.pairwise(runs))
    runs = sampled_runs(100_000, borders[:3])
    assert all(any(start < b < stop for start, stop in runs) for b in borders[:3])
    assert runs[-1][1] > 50_000
    assert sampled_runs(MOST_FRAMES, borders) == [(0, MOST_FRAMES)]


def test_pictures_are_lossless_if_small_enough():
    smooth = level_frames(1)[0]
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    assert encode_picture(smooth, 10_000).stored == "PNG, lossless"
    for budget in (100_000, 20_000, 3_000):
        picture = encode_picture(noise, budget)
        assert len(base64.b64decode(picture.uri.partition(",")[2])) <= budget
        assert picture.stored.startswith("WebP")
        assert picture.width / picture.height == pytest.approx(4 / 3, rel=0.02)


def test_tiles_are_compared_with_other_blocks(tmp_path: Path):
    """Columns jump by 4 between blocks of 8, by 8 at the border of tiles, and drift within them."""
    steps = np.full(64, 1)
    steps[::8], steps[32] = 4, 8
    row = np.cumsum(steps)[None, :, None].astype(np.uint8)
    frames = [np.tile(row, (32, 1, 3))] * 2
    options = {"codec": "libx264rgb", "pixel_format": "rgb24", "options": {"crf": "0"}}
    clip = open_output(make_video(tmp_path / "a.mp4", frames, **options), Fraction(24))
    run = replace(RUN, segments=(), windows=(), scenes=(), rows=(), columns=(32,))
    columns = measure_changes(clip, clip, run).sides["columns"]
    assert columns.index("tiles") == pytest.approx(2, rel=0.1)
