"""Clips that are enhanced segment by segment."""

import collections
import gc
import itertools
import weakref
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.tiny_system import clip, tiny_system
from pipelines.toy_system import Toy, ToyOptions

from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.continuation import FinishedLatents, Place, continuing
from venhancer_jax.pipelines.segments import SegmentSizes, TimedFrame
from venhancer_jax.pipelines.spilled import StoredFrames
from venhancer_jax.pipelines.step_cache import StepCache
from venhancer_jax.pipelines.stream import (
    STREAM_START,
    StreamedSegment,
    StreamState,
    enhance_stream,
)
from venhancer_jax.pipelines.venhancer import plan
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions

RATE = Fraction(10)
OPTIONS = {
    "up_scale": 1.0, "steps": 2, "solver_mode": "normal", "solver": "ddim", "guidance_scale": 1.0,
    "fps_scale": 1.0, "window": 5, "window_overlap": 2,
}  # fmt: skip
# More than are stored together.
FRAMES = 9


@pytest.fixture(scope="module", autouse=True)
def _mixing_denoiser() -> Iterator[None]:
    """In place of the network, which takes long to compile: each frame sees its neighbours."""

    def denoise(*args):
        x = args[3]
        mixed = 0.5 * x + 0.3 * jnp.roll(x, 1, axis=1) + 0.2 * jnp.roll(x, -1, axis=1)
        return 0.9 * mixed, StepCache()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "denoise", denoise)
        yield


def timed(frames: Sequence[np.ndarray], cuts: Sequence[int] = ()) -> list[TimedFrame]:
    return [TimedFrame(frame, i, i + 1, i in cuts) for i, frame in enumerate(frames)]


def stream(
    system: Any,
    options: object,
    frames: Sequence[TimedFrame],
    state: StreamState = STREAM_START,
    scratch: Path | None = None,
) -> Iterator[tuple[StreamedSegment, list[np.ndarray]]]:
    """Yields segments and their frames, which are as many as announced, at rising ticks."""
    clock = system.output_clock(RATE, None, options)
    start = state.position.read_from(system.segment_sizes(RATE, options))
    for segment in enhance_stream(
        system, frames[start:], rate=RATE, clock=clock, options=options,
        progress=lambda *done: None, state=state, scratch=scratch,
    ):  # fmt: skip
        shown = list(segment.frames)
        assert len(shown) == segment.count
        ticks = [tick for _, tick in shown]
        assert not ticks or ticks == [*range(ticks[0], ticks[0] + len(ticks))]
        yield segment, [frame for frame, _ in shown]


def joined(segments: Sequence[tuple[StreamedSegment, list[np.ndarray]]]) -> np.ndarray:
    return np.stack([*itertools.chain.from_iterable(frames for _, frames in segments)])


@pytest.fixture(scope="module")
def streamed() -> list[tuple[StreamedSegment, list[np.ndarray]]]:
    """The first clip, in segments of one window."""
    return [
        *stream(tiny_system(), VEnhancerOptions(**OPTIONS, segment_windows=1), timed(clip(FRAMES)))
    ]


def test_all_windows_of_a_scene_are_the_whole_enhancement():
    options = VEnhancerOptions(**OPTIONS, segment_windows=0)
    frames = clip(FRAMES)
    whole = np.stack([*tiny_system().enhance(frames, rate=RATE, options=options)])
    found = [*stream(tiny_system(), options, timed(frames))]
    assert len(found) == 1 and found[0][0].ends_clip
    np.testing.assert_array_equal(joined(found), whole)


SPILLED = {
    "ddim": {},
    "noise": {"solver": "dpmpp_2m_sde", "steps": 3, "fps_scale": 2.0},
    "heun": {"solver": "heun", "steps": 3, "interpolation": "flow", "fps_scale": 2.0},
    "tiles": {"tile": 16, "tile_overlap": 4, "fidelity": 0.5},
    "fidelity": {"fidelity": 0.5, "fps_scale": 2.0},
}


@pytest.mark.parametrize("name", SPILLED)
def test_latents_on_the_disk_give_what_those_in_memory_give(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = VEnhancerOptions(**{**OPTIONS, "segment_windows": 0, **SPILLED[name]})
    frames = timed(clip(FRAMES))
    files = count_files(monkeypatch)
    in_memory = [*stream(tiny_system(), options, frames, scratch=tmp_path)]
    assert files == [1]  # latents of the encoder only: the scene is short
    monkeypatch.setattr(plan, "MOST_IN_MEMORY", 0)
    on_disk = [*stream(tiny_system(), options, frames, scratch=tmp_path)]
    assert files[0] > 5
    np.testing.assert_array_equal(joined(on_disk), joined(in_memory))
    assert not [*tmp_path.iterdir()]


def count_files(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list of one number, that of the files with latents from now on."""
    count, original = [0], StoredFrames.__init__

    def counted(self: StoredFrames, *arguments: Any) -> None:
        count[0] += 1
        original(self, *arguments)

    monkeypatch.setattr(StoredFrames, "__init__", counted)
    return count


def test_memory_does_not_grow_with_scenes_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plan, "MOST_IN_MEMORY", 0)
    options = VEnhancerOptions(**{**OPTIONS, "segment_windows": 0, "solver": "dpmpp_2m_sde"})
    most, original = [], programs.denoise

    def measured(*args):
        most[-1] = max(most[-1], sum(x.nbytes for x in jax.live_arrays()))
        return original(*args)

    monkeypatch.setattr(programs, "denoise", measured)
    for frames in (12, 36):
        gc.collect()
        most.append(0)
        segments = stream(tiny_system(), options, timed(clip(frames)), scratch=tmp_path)
        collections.deque(segments, maxlen=0)
    assert most[1] <= most[0] > 0


def test_a_stream_resumes_after_each_segment(streamed: list):
    options = VEnhancerOptions(**OPTIONS, segment_windows=1)
    assert len(streamed) > 2
    for i, (segment, _) in enumerate(streamed[:-1], 1):
        assert segment.after.finished is not None
        rest = [*stream(tiny_system(), options, timed(clip(FRAMES)), segment.after)]
        assert len(rest) == len(streamed) - i
        np.testing.assert_array_equal(joined(rest), joined(streamed[i:]))


def test_a_stream_with_all_dials_resumes_after_each_segment():
    """Grain, colours and coarse latents of a frame do not depend on where a run began."""
    dials = {"grain": 1.0, "colour": "lab", "fidelity": 0.5, "fps_scale": 2.0}
    options = VEnhancerOptions(**(OPTIONS | dials), segment_windows=1)
    rng = np.random.default_rng(0)
    drawn = 120 + 8 * rng.standard_normal((7, 24, 32, 1)) + [30, 0, 0]
    frames = timed(drawn.astype(np.uint8))
    found = [*stream(tiny_system(), options, frames)]
    assert len(found) > 2
    for i, (segment, _) in enumerate(found[:-1], 1):
        rest = [*stream(tiny_system(), options, frames, segment.after)]
        np.testing.assert_array_equal(joined(rest), joined(found[i:]))
    for dial in ("grain", "colour", "fidelity"):
        default = {dial: getattr(VEnhancerOptions(), dial)}
        other = VEnhancerOptions(**(OPTIONS | dials | default), segment_windows=1)
        assert (joined([*stream(tiny_system(), other, frames)]) != joined(found)).any()


def test_segments_follow_from_the_latents_before_them(streamed: list):
    segment, _ = streamed[0]
    finished = segment.after.finished
    other = FinishedLatents(finished.first, finished.values + 1)
    options = VEnhancerOptions(**OPTIONS, segment_windows=1)
    state = StreamState(segment.after.position, other)
    _, frames = next(stream(tiny_system(), options, timed(clip(FRAMES)), state))
    assert not np.array_equal(np.stack(frames), np.stack(streamed[1][1]))


def test_finished_latents_are_held_and_fade_into_the_segment():
    # Input frames 5 to 8 of the clip; 7 is the first one of the segment; two grid frames each.
    values = np.arange(10, dtype=np.float32).reshape(1, 10, 1, 1, 1)
    place = Place(start=5, first=7, finished=FinishedLatents(4, values))
    np.testing.assert_array_equal(place.known(2), values[:, 2:])
    np.testing.assert_array_equal(place.lead(2, 5), values[:, :2])
    np.testing.assert_array_equal(place.lead(2, 1), values[:, 1:2])
    x = jnp.full((1, 12, 1, 1, 1), 100.0)
    held = continuing(lambda x, t: x + t, place, 2)(x, np.int32(0))[0, :, 0, 0, 0]
    np.testing.assert_array_equal(held[:5], [2, 3, 4, 5, 6])
    fade = np.arange(4) / 4
    np.testing.assert_allclose(held[4:8], (1 - fade) * [6, 7, 8, 9] + fade * 100)
    np.testing.assert_array_equal(held[8:], 100)


def test_the_first_segment_of_a_scene_continues_nothing():
    def denoise(x, t):
        return x

    assert continuing(denoise, Place(), 1) is denoise


def test_latents_of_a_window_are_kept():
    latents = jnp.arange(13.0).reshape(1, 13, 1, 1, 1)
    kept = Place(start=20).keep(latents, stride=2, window=3)
    assert kept.first == 24
    np.testing.assert_array_equal(kept.values[0, :, 0, 0, 0], np.arange(8, 13))


def test_scenes_are_clips_of_their_own():
    options = ToyOptions(window=4, segment_windows=1, memory=0.01)
    frames = clip(11)
    both = [*stream(Toy(None), options, timed(frames, cuts=[5]))]
    first = joined([*stream(Toy(None), options, timed(frames[:5]))])
    second = joined([*stream(Toy(None), options, timed(frames[5:]))])
    np.testing.assert_array_equal(joined(both), np.concatenate([first, second]))
    for segment, _ in both:
        assert (segment.after.finished is None) == (segment.segment.stop in (5, 11))


def test_frames_of_long_clips_are_dropped():
    alive = most = 0

    def drop() -> None:
        nonlocal alive
        alive -= 1

    def frames() -> Iterator[TimedFrame]:
        nonlocal alive
        for i in range(120):
            pixels = np.zeros((2, 2, 3), np.uint8)
            weakref.finalize(pixels, drop)
            alive += 1
            yield TimedFrame(pixels, i, i + 1)

    options = ToyOptions(window=4, segment_windows=2)
    sizes = Toy(None).segment_sizes(RATE, options)
    assert sizes == SegmentSizes(window=4, overlap=2, windows=2)
    toy: Any = Toy(None)
    clock = toy.output_clock(RATE, None, options)
    for segment in enhance_stream(
        toy, frames(), rate=RATE, clock=clock, options=options, progress=lambda *done: None
    ):
        list(segment.frames)
        most = max(most, alive)
    assert 0 < most <= 12
