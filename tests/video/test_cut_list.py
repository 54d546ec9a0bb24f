"""Sources of cuts: found, none, lists of frames and times, PySceneDetect's scene lists."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.video.scenes.cut_list import cut_source
from venhancer_jax.video.scenes.cuts import FRAMES_BEFORE, find_cuts
from venhancer_jax.video.timing import FrameTimes

# 30000/1001 frames a second, and a clip whose fourth frame is late.
NTSC = FrameTimes(ticks=np.arange(300) * 1001, time_base=Fraction(1, 30000), end=300 * 1001)
UNEVEN = FrameTimes(ticks=np.array([0, 40, 80, 500, 540]), time_base=Fraction(1, 1000), end=600)


@pytest.fixture
def cuts_of(tmp_path: Path):
    def read(text: str, times: FrameTimes = NTSC) -> set[int]:
        path = tmp_path / "cuts.txt"
        path.write_text(text)
        return set(cut_source(str(path)).frames(times))

    return read


def test_frame_numbers(cuts_of):
    assert cuts_of("# cuts\n0\n12\n\n 120 \n299\n") == {12, 120, 299}
    assert cuts_of("") == set()


def test_times_are_of_the_nearest_frame(cuts_of):
    # Frame 45 begins at 1.5015 s, written as rounded up or down.
    assert cuts_of("1.501\n") == cuts_of("1.502") == cuts_of("00:00:01.502") == {45}
    assert cuts_of("0:03.0\n00:00:05.005\n") == {90, 150}
    assert cuts_of("0.08\n0.5\n", UNEVEN) == {2, 3}
    hours = FrameTimes(ticks=np.arange(9000), time_base=Fraction(1), end=9000)
    assert cuts_of("01:02:03\n2:00:00.6", hours) == {3723, 7201}


def test_scene_list_of_pyscenedetect(cuts_of):
    header = "Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame\n"
    rows = "1,1,00:00:00.000,0.000,45\n2,46,00:00:01.502,1.502,300\n"
    assert cuts_of(header + rows) == {45}
    assert cuts_of("Timecode List:,00:00:01.502\n" + header + rows) == {45}
    with pytest.raises(InputError, match=r"line 3: 'x'.*'Start Frame'"):
        cuts_of(header + "1,1\n2,x\n")
    with pytest.raises(InputError, match=r"line 2: '0'.*from 1"):
        cuts_of(header + "1,0\n")


@pytest.mark.parametrize("line", ["-3", "-1.5", "a cut", "1:2:3:4", "1.5 s", "²", "1,5"])
def test_wrong_lines_are_named(line, cuts_of):
    with pytest.raises(InputError, match=r"cuts\.txt, line 2: ") as error:
        cuts_of(f"7\n{line}\n")
    assert repr(line) in str(error.value) and "frame number such as 120" in str(error.value)


def test_cuts_beyond_the_clip_and_unsorted_cuts_are_named(cuts_of):
    with pytest.raises(InputError, match=r"line 2: '300' is beyond the clip.* 0 to 299"):
        cuts_of("299\n300\n")
    with pytest.raises(InputError, match=r"line 1: '10\.02' is beyond the clip.*10\.010 s"):
        cuts_of("10.02\n")
    with pytest.raises(InputError, match=r"line 3: '11' is not after line 1 \('12'\)"):
        cuts_of("12\n\n11\n")
    with pytest.raises(InputError, match=r"line 2: '12' is not after line 1"):
        cuts_of("12\n12\n")
    with pytest.raises(InputError, match=r"expected auto, none, or a text file.*nowhere"):
        cut_source("nowhere/at_all.txt")


def test_marks(tmp_path):
    rng = np.random.default_rng(0)
    frames = [x for _ in range(2) for x in [rng.integers(0, 256, (48, 64, 3), np.uint8)] * 6]
    times = FrameTimes(ticks=np.arange(12), time_base=Fraction(1, 25), end=12)

    def marked(value: str, first: int = 0) -> list[int]:
        source = cut_source(value)
        before = frames[max(0, first - source.frames_before) : first]
        stream = source.mark(frames[first:], times, first=first, before=before)
        return [i for i, (_, cut) in enumerate(stream, first) if cut]

    (tmp_path / "list").write_text("3\n8\n")
    assert marked("auto") == find_cuts(frames)[0] == [6]
    assert marked("auto", 6) == [6] and cut_source("auto").frames_before == FRAMES_BEFORE
    assert marked("none") == []
    assert marked(str(tmp_path / "list")) == [3, 8]
    assert marked(str(tmp_path / "list"), 3) == [3, 8] and marked(str(tmp_path / "list"), 4) == [8]
