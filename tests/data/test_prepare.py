import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from video.video_clips import make_video

from venhancer_jax.data import clips, prepare, records
from venhancer_jax.data.clips import ClipRules
from venhancer_jax.data.sources import PreparedSource
from venhancer_jax.errors import InputError
from venhancer_jax.files import lock_for

RULES = ClipRules(min_height=32, min_frames=6, max_frames=100, min_fps=10)


@pytest.fixture
def prepared(videos, tmp_path):
    (videos / "two.txt").write_text("two scenes\n")
    return tmp_path / "out", prepare.prepare(videos, tmp_path / "out", rules=RULES)


def lines_of(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_end_to_end(prepared, videos, scene):
    folder, done = prepared
    assert done.clips == 3 and done.changed
    assert list(done.skipped) == ["bad.mp4"] and "not a video" in done.skipped["bad.mp4"]

    source = PreparedSource(folder)
    found = {clip.name: clip for clip in (source[i] for i in range(len(source)))}
    assert set(found) == {"sub/one.mp4#0000", "two.mp4#0000", "two.mp4#0001"}
    expected = {"two.mp4#0000": scene(12, 60), "two.mp4#0001": scene(9, 190, 1)}
    for name, frames in expected.items():
        clip = found[name]
        facts = clip.facts()
        assert (facts.frames, facts.height, facts.width, facts.rate) == (len(frames), 64, 96, 24)
        assert clip.caption == "two scenes"
        difference = clip.read(np.arange(len(frames))).astype(float) - np.stack(frames)
        assert np.sqrt(np.mean(difference**2)) < 2.5
        assert np.abs(difference.mean((1, 2, 3))).max() < 3
    assert "tensorflow" not in sys.modules
    assert sorted(path.name for path in folder.iterdir()) == [
        "clips",
        "manifest.jsonl",
        "prepared.json",
        "statistics.md",
    ]
    # The whole file is one scene: its own bytes.
    one = found["sub/one.mp4#0000"]
    assert one.data == (videos / "sub" / "one.mp4").read_bytes() and one.caption == ""


def test_manifest_and_statistics(prepared):
    folder, _ = prepared
    lines = lines_of(folder)
    starts = {line["name"]: line["start"] for line in lines if "name" in line}
    assert starts == {"sub/one.mp4#0000": 0, "two.mp4#0000": 0, "two.mp4#0001": 12}
    assert [line["video"] for line in lines if "skipped" in line] == ["bad.mp4"]
    page = (folder / "statistics.md").read_text()
    assert "3 clips of 2 videos" in page and "| 96x64 | 3 |" in page and "* bad.mp4: " in page
    assert "2 clips have a caption" in page


def test_second_run_does_nothing(prepared, videos, monkeypatch):
    folder, _ = prepared
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr(prepare, "stage", pytest.fail)
    again = prepare.prepare(videos, folder, rules=RULES)
    assert not again.changed and again.clips == 3 and list(again.skipped) == ["bad.mp4"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_interrupted_run_goes_on(videos, tmp_path, monkeypatch):
    cut, calls = clips._cut, []

    def interrupted(video, *rest):
        calls.append(video.name)
        if video.name == "two.mp4" and calls.count("two.mp4") == 1:
            (rest[1] / "0000.mp4").write_bytes(b"half")
            raise KeyboardInterrupt
        return cut(video, *rest)

    monkeypatch.setattr(clips, "_cut", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(videos, tmp_path / "out", rules=RULES)
    assert not records.is_dataset(tmp_path / "out")
    assert prepare.prepare(videos, tmp_path / "out", rules=RULES).clips == 3
    assert sorted(calls) == ["bad.mp4", "one.mp4", "two.mp4", "two.mp4"]


def test_new_video_leaves_the_others(prepared, videos, scene, monkeypatch):
    folder, _ = prepared
    source = PreparedSource(folder)
    before = {source[i].name: source[i].data for i in range(3)}
    make_video(videos / "new.mp4", scene(8, 90, 7))
    cut, calls = clips._cut, []
    monkeypatch.setattr(
        clips, "_cut", lambda video, *rest: (calls.append(video.name), cut(video, *rest))[1]
    )
    assert prepare.prepare(videos, folder, rules=RULES).clips == 4
    source = PreparedSource(folder)
    assert calls == ["new.mp4"] and len(source) == 4 and not (folder / "staging").exists()
    assert {source[i].name: source[i].data for i in range(4)}.items() >= before.items()
    # A video that is gone, and another caption of one that is not cut again.
    (videos / "new.mp4").unlink()
    (videos / "two.txt").write_text("again\n")
    assert prepare.prepare(videos, folder, rules=RULES).clips == 3
    source = PreparedSource(folder)
    assert calls == ["new.mp4"]
    assert {source[i].name: source[i].data for i in range(3)} == before
    assert {source[i].caption for i in range(3)} == {"again", ""}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_captions_from_a_table(videos, tmp_path, suffix):
    rows = {"two.mp4": 'a "boat", at sea', "sub/one.mp4": "a hill"}
    table = tmp_path / f"captions{suffix}"
    if suffix == ".csv":
        table.write_text('name,caption\ntwo.mp4,"a ""boat"", at sea"\nsub/one.mp4,a hill\n')
    else:
        objects = [{"file": name, "caption": text} for name, text in rows.items()]
        table.write_text("".join(json.dumps(line) + "\n" for line in objects))
    prepare.prepare(videos, tmp_path / "out", captions=table, rules=RULES)
    found = {line["video"]: line["caption"] for line in lines_of(tmp_path / "out")[:3]}
    assert found == rows


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "x,y\n1,2\n"), ("a.jsonl", "{oops\n"), ("a.txt", "x")]
)
def test_wrong_table(videos, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        prepare.prepare(videos, tmp_path / "out", captions=tmp_path / name, rules=RULES)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"min_height": 65}, "64 rows, less than min_height=65"),
        ({"min_fps": 25}, "24 frames a second, less than min_fps=25"),
        ({"min_frames": 50}, "less than min_frames=50"),
    ],
)
def test_nothing_left(videos, tmp_path, rules, reason):
    (videos / "bad.mp4").unlink()
    settings = {"min_height": 32, "min_frames": 6, "max_frames": 100, "min_fps": 10} | rules
    with pytest.raises(InputError, match="none of the 2 videos gives a clip") as error:
        prepare.prepare(videos, tmp_path / "out", rules=ClipRules(**settings))
    assert reason in str(error.value)


def test_video_that_breaks_off_is_named(videos, tmp_path, scene):
    data = make_video(tmp_path / "whole.mp4", scene(40, 100)).read_bytes()
    (videos / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    done = prepare.prepare(videos, tmp_path / "out", rules=RULES)
    assert set(done.skipped) == {"bad.mp4", "cut.mp4"} and done.clips == 3
    assert "cut short" in done.skipped["cut.mp4"]


def test_command_line(videos, tmp_path, capsys, caplog):
    settings = [f"--input={videos}", f"--output={tmp_path / 'out'}", "--workers=2"]
    limits = ["--min_height=32", "--min_frames=6", "--shard_size=0.005"]
    assert prepare.main([*settings, *limits]) == 0
    printed = capsys.readouterr().out
    assert "wrote 3 clips" in printed and "1 videos skipped" in printed
    assert "skipped bad.mp4" in caplog.text
    assert len(list((tmp_path / "out" / "clips").rglob("*.array_record*"))) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --input"),
        (["--input=nowhere", "--output=out"], "nowhere: no such folder"),
        (["--inputs=x"], "inputs"),
        (["--input=x", "--output=y", "z"], "unexpected argument 'z'"),
        (["--input=x", "--output=y", "--workers=many"], "many"),
    ],
)
def test_wrong_command_lines(arguments, message, capsys):
    assert prepare.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no video in this folder"):
        prepare.prepare(tmp_path / "empty", tmp_path / "out", rules=RULES)


def test_truncated_shard(prepared):
    folder, _ = prepared
    shard = next((folder / "clips").rglob("*.array_record*"))
    whole = shard.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        shard.write_bytes(whole[:length])
        with pytest.raises(InputError, match="cut short") as error:
            PreparedSource(folder)
        assert str(shard) in str(error.value)
    shard.unlink()
    with pytest.raises(InputError, match="missing"):
        PreparedSource(folder)
    with pytest.raises(InputError, match="no prepared dataset"):
        PreparedSource(folder / "nothing")


def test_workers_open_only_the_shards_that_they_read(videos, tmp_path):
    prepare.prepare(videos, tmp_path / "out", rules=RULES, shard_size=0.005)
    source = PreparedSource(tmp_path / "out")
    shards = sorted((tmp_path / "out" / "clips").rglob("*.array_record*"))
    assert len(shards) == 3
    state = pickle.dumps(source)
    shards[-1].unlink()
    worker = pickle.loads(state)
    assert len(worker) == 3
    assert worker[0].data == source[0].data
    with pytest.raises(InputError, match="damaged"):
        worker[2].facts()


def test_a_second_run_waits_and_finds_the_work_done(prepared, videos):
    folder, _ = prepared
    with ThreadPoolExecutor(1) as pool, lock_for(folder):
        second = pool.submit(prepare.prepare, videos, folder, rules=RULES)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.3)
    assert not second.result().changed
