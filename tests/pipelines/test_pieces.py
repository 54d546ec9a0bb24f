"""Pieces of clips and frames: they cover everything, and blend to the weighted sum."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.jax_events import COMPILE, events

from venhancer_jax.pipelines import pieces
from venhancer_jax.pipelines.pieces import (
    Box,
    Span,
    Window,
    batches,
    blend,
    even_windows,
    faded_spans,
    gaussian,
    gaussian_spans,
    key_frame_step,
    key_frame_windows,
    sliding_windows,
    whole_span,
)

WINDOWS: list[list[Window]] = [
    [(0, 9)],
    [(0, 5), (3, 9)],
    [(0, 4), (4, 9)],
    [(0, 4), (2, 6), (5, 9)],
    # Three windows over one frame.
    [(0, 5), (1, 6), (2, 7), (4, 9)],
]
CLIP = np.random.default_rng(0).standard_normal((1, 9, 4, 6, 3), np.float32)


def naive_blend(function, x: np.ndarray, boxes: Sequence[Box], scale: int = 1) -> np.ndarray:
    """Sums weighted pieces, pixel by pixel, in float64."""
    b, f, h, w, _ = x.shape
    total = np.zeros((b, f, h * scale, w * scale, 3))
    for box in boxes:
        (f0, r0, c0), (n, m, k) = box.start, box.shape
        piece = np.asarray(function(x[:, f0 : f0 + n, r0 : r0 + m, c0 : c0 + k]), np.float64)
        for i, j, o in np.ndindex(n, m * scale, k * scale):
            weight = float(box.frames.weights[i]) * box.rows.weights[j] * box.columns.weights[o]
            total[:, f0 + i, r0 * scale + j, c0 * scale + o] += weight * piece[:, i, j, o]
    return total


def boxes_over(x: np.ndarray, windows: Sequence[Window], scale: int = 1) -> list[Box]:
    """Windows of frames times two rows and two columns of tiles."""
    rows = gaussian_spans([(0, 3), (1, 4)], scale=scale, middle=0.0)
    columns = gaussian_spans([(0, 4), (2, 6)], scale=scale, middle=-0.5)
    return [Box(f, r, c) for f in faded_spans(windows) for r in rows for c in columns]


@pytest.mark.parametrize(
    ("length", "window", "overlap", "windows"),
    [
        (1, 5, 2, [(0, 1)]),
        (7, 5, 2, [(0, 7)]),
        (8, 5, 2, [(0, 5), (3, 8)]),
        (16, 5, 2, [(0, 5), (3, 8), (6, 11), (9, 16)]),
        (90, 72, 12, [(0, 90)]),
        (146, 72, 12, [(0, 72), (60, 146)]),
        (240, 128, 25, [(0, 128), (103, 240)]),
        (4, 2, 0, [(0, 2), (2, 4)]),
    ],
)
def test_sliding_windows(length: int, window: int, overlap: int, windows: list[Window]):
    assert sliding_windows(length, window, overlap) == windows


def test_windows_that_do_not_get_ahead_are_refused():
    with pytest.raises(ValueError, match="an overlap of 5: expected less than the window, 5"):
        sliding_windows(9, 5, 5)


@pytest.mark.parametrize(("window", "overlap"), [(5, 2), (72, 12), (128, 25), (2, 1), (4, 0)])
def test_even_windows_have_one_length_and_overlap_enough(window: int, overlap: int):
    for length in range(1, 400):
        windows = even_windows(length, window, overlap)
        assert (windows[0][0], windows[-1][1]) == (0, length)
        assert len({stop - start for start, stop in windows}) == 1
        if len(windows) == 1:
            assert length <= max(window, round(1.33 * window))
            continue
        assert windows[0][1] <= window
        assert all(a[1] - b[0] >= overlap for a, b in itertools.pairwise(windows))
        # One window fewer could not cover the axis.
        assert (len(windows) - 1) * (window - overlap) + overlap < length


@pytest.mark.parametrize("stride", range(1, 10))
@pytest.mark.parametrize("limit", [2, 3, 8, 9, 10, 31, 32, 33])
def test_key_frame_windows(stride: int, limit: int):
    for keys in range(1, 60):
        frames = (keys - 1) * stride + 1
        windows = key_frame_windows(frames, stride, limit)
        starts, stops = zip(*windows, strict=True)
        assert (starts[0], stops[-1]) == (0, frames)
        assert len({stop - start for start, stop in windows}) == 1
        assert all(start % stride == 0 for start in starts)
        # Each window goes on past the last, and shares frames with it.
        assert all(a < b for a, b in itertools.pairwise(starts))
        assert all(stop > start for stop, start in zip(stops, starts[1:], strict=False))
        longest = max(limit, stride + 1)  # two key frames at least
        assert stops[0] <= longest
        if frames <= limit:
            assert len(windows) == 1
        else:
            assert stops[0] > longest - stride


def test_key_frame_windows_overlap_by_half_without_a_request():
    assert key_frame_windows(65, 1, 32) == [(0, 32), (15, 47), (30, 62), (33, 65)]
    assert key_frame_windows(97, 3, 32) == [
        (0, 31), (15, 46), (30, 61), (45, 76), (60, 91), (66, 97),
    ]  # fmt: skip


@pytest.mark.parametrize("windows", WINDOWS)
def test_faded_spans_are_repeated_cross_fades(windows: list[Window]):
    """Each window fades in over what the earlier ones joined to, starting with weight 0."""
    values = [np.arange(9.0) ** 2 + 10 * k for k in range(len(windows))]
    expected, reached = np.zeros(9), 0
    for value, (start, stop) in zip(values, windows, strict=True):
        for frame in range(start, stop):
            share = (frame - start) / (reached - start) if frame < reached else 1
            expected[frame] = (1 - share) * expected[frame] + share * value[frame]
        reached = stop
    found = np.zeros(9)
    for value, span in zip(values, faded_spans(windows), strict=True):
        assert len(span.weights) == len(span)
        found[span.start : span.stop] += span.weights * value[span.start : span.stop]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_later_window_starts_with_weight_zero():
    first, second = faded_spans([(0, 6), (2, 8)])
    np.testing.assert_allclose(first.weights, [1, 1, 1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(second.weights, [0, 0.25, 0.5, 0.75, 1, 1])


def test_gaussian_is_the_formula():
    for length, middle in ((6, 0.0), (9, -0.5), (8, 0.0)):
        for i in range(length):
            z = (i - length / 2 - middle) / length
            expected = math.exp(-z * z / 0.04) / math.sqrt(0.04 * math.pi)
            assert gaussian(length, middle)[i] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [1, 2, 8])
def test_gaussian_spans_sum_to_one(scale: int):
    windows = even_windows(31, 12, 4)
    total = np.zeros(31 * scale)
    for span, (start, stop) in zip(
        gaussian_spans(windows, scale=scale, middle=-0.5), windows, strict=True
    ):
        assert (span.start, span.stop, len(span.weights)) == (start, stop, len(span) * scale)
        total[start * scale : stop * scale] += span.weights
        inside = span.weights > 0.999
        assert inside.any() and not inside.all()
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("windows", WINDOWS)
def test_blend_is_the_weighted_sum(windows: list[Window], scale: int):
    """Each piece is changed by its own mean, so that a piece of another place shows."""

    def function(piece, boxes=None):
        scaled = np.asarray(piece).repeat(scale, 2).repeat(scale, 3)
        return scaled * 2 + scaled.mean()

    boxes = boxes_over(CLIP, windows, scale)
    found = blend(lambda x, boxes: jnp.asarray(function(x)), CLIP, boxes, scale=scale)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, naive_blend(function, CLIP, boxes, scale), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
@pytest.mark.parametrize("windows", WINDOWS)
def test_pieces_share_a_call(windows: list[Window], batch: int):
    """A call takes pieces of one shape in order; copies that fill it change nothing."""
    calls = []

    def function(x: jax.Array, boxes: Sequence[Box]) -> jax.Array:
        calls.append([box.start for box in boxes])
        assert len({box.shape for box in boxes}) == 1
        assert len(x) == len(boxes) == batch
        for piece, box in zip(x, boxes, strict=True):
            np.testing.assert_array_equal(piece, CLIP[0, box.frames.start : box.frames.stop])
        starts = jnp.array([box.frames.start for box in boxes], jnp.float32)
        return x * 3 + starts.reshape(-1, 1, 1, 1, 1)

    boxes = [Box(frames, whole_span(4), whole_span(6)) for frames in faded_spans(windows)]
    found = blend(function, CLIP, boxes, batch=batch)
    shared = list(dict.fromkeys(start for call in calls for start in call))
    assert shared == [(start, 0, 0) for start, _ in windows]
    expected = np.zeros(CLIP.shape)
    for box in boxes:
        span = box.frames
        weights = span.weights.reshape(-1, 1, 1, 1)
        expected[:, span.start : span.stop] += weights * (
            CLIP[:, span.start : span.stop].astype(float) * 3 + span.start
        )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_batches_keep_order_and_key():
    assert list(batches([1, 1, 1, 2, 2, 1], 2, key=lambda x: x)) == [[1, 1], [1], [2, 2], [1]]


@pytest.mark.parametrize("frames", [400, 1600])
def test_blending_compiles_once_whatever_the_length(frames: int):
    """One program each for taking a piece, adding a piece, and zeros; one addition a window."""
    x = np.zeros((1, frames, 2, 2, 1), np.float32)
    windows = key_frame_windows(frames, 1, 32)
    boxes = [Box(span, whole_span(2), whole_span(2)) for span in faded_spans(windows)]
    calls = 0

    def function(x: jax.Array, boxes: Sequence[Box]) -> jax.Array:
        nonlocal calls
        calls += 1
        return x

    with events() as seen:
        blend(function, x, boxes)
    assert calls == len(windows) == math.ceil((frames - 32) / 15) + 1
    assert seen[COMPILE] <= 4


def test_pieces_are_added_in_place():
    """The clip is not copied for each piece, which would take quadratic time."""
    total = jnp.zeros((1, 400, 8, 8, 4))
    weights = np.ones(32, np.float32), np.ones(8, np.float32), np.ones(8, np.float32)
    arguments = total, jnp.ones((1, 32, 8, 8, 4)), weights, (3, 0, 0), pieces.UNSHARDED
    memory = pieces._add.lower(*arguments).compile().memory_analysis()
    assert memory.alias_size_in_bytes == total.nbytes
    assert memory.temp_size_in_bytes < total.nbytes / 4
    pieces._add(*arguments)
    assert total.is_deleted()


def test_one_piece_is_the_function_alone():
    whole = Box(whole_span(9), whole_span(4), whole_span(6))
    assert blend(lambda x, boxes: x, CLIP, [whole]) is CLIP


def test_a_span_has_a_length():
    assert len(Span(3, 7, np.ones(8, np.float32))) == 4


@pytest.mark.parametrize("overlap", [0, 1, 4, 8, 31])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_key_frame_windows_share_what_is_requested(stride: int, overlap: int):
    frames = 150 * stride + 1
    windows = key_frame_windows(frames, stride, 32, overlap)
    length = windows[0][1]
    assert {stop - start for start, stop in windows} == {length}
    assert all(start % stride == 0 for start, _ in windows)
    step = key_frame_step(stride, 32, overlap)
    for (first, stop), (start, _) in itertools.pairwise(windows):
        # At least one frame, and no more than an interval beyond what is requested.
        assert stop - start >= min(max(1, overlap), length - stride)
        assert start - first <= step * stride
    (_, stop), (start, _) = windows[:2]
    assert stop - start < max(1, overlap) + stride
