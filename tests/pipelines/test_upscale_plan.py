"""What Upscale-A-Video will do to a clip, checked without any network."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.pieces import aligned_windows, symmetric_spans
from venhancer_jax.pipelines.system import Clip
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.plan import UpscaleAVideoPlan, plan_clip
from venhancer_jax.planning.sampling import find_clip


def plan(frames: int = 3, height: int = 48, width: int = 64, rate=24, **options):
    clip = Clip(frames=frames, height=height, width=width, rate=Fraction(rate))
    return plan_clip(clip, UpscaleAVideoOptions(**options))


def windows(planned: UpscaleAVideoPlan) -> list[tuple[int, int]]:
    return [(span.start, span.stop) for span in planned.frames]


def coverage(planned: UpscaleAVideoPlan) -> np.ndarray:
    """Returns the sum of all weights at each latent of each frame."""
    total = np.zeros((planned.clip.frames, *planned.space.padded))
    for tile in planned.space.tiles:
        for box in planned.boxes(tile):
            weights = [s.weights for s in (box.frames, box.rows, box.columns)]
            place = tuple(slice(s.start, s.stop) for s in (box.frames, box.rows, box.columns))
            total[place] += np.einsum("f,h,w->fhw", *weights)
    return total


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 13, 14, 15, 32, 100])
def test_windows_of_one_length_none_twice(frames: int):
    found = windows(plan(frames))
    assert {stop - start for start, stop in found} == {min(frames, 8)}
    assert len(set(found)) == len(found)
    assert all(a[1] - b[0] >= 2 for a, b in itertools.pairwise(found))
    assert (found[0][0], found[-1][1]) == (0, frames)


def test_the_published_program_repeats_windows_that_are_computed_once():
    planned = plan(14, compat="official")
    assert windows(planned) == [(0, 8), (6, 14)]
    first, second = (span.weights for span in planned.frames)
    np.testing.assert_array_equal(first, [1] * 6 + [0.25] * 2)
    np.testing.assert_array_equal(second, [0.75] * 2 + [1] * 6)


@pytest.mark.parametrize("compat", ["default", "official"])
@pytest.mark.parametrize("frames", [1, 9, 14, 15, 33])
def test_weights_sum_to_one(compat: str, frames: int):
    np.testing.assert_allclose(coverage(plan(frames, compat=compat)), 1, atol=1e-6)


@pytest.mark.parametrize(("length", "window", "overlap"), [(9, 8, 2), (15, 8, 2), (29, 8, 3)])
def test_weights_of_a_mirrored_axis_are_mirrored(length: int, window: int, overlap: int):
    starts = aligned_windows(length, window, overlap)
    mirrored = [(length - stop, length - start) for start, stop in reversed(starts)]
    for a, b in zip(symmetric_spans(starts), reversed(symmetric_spans(mirrored)), strict=True):
        np.testing.assert_allclose(a.weights, b.weights[::-1], atol=1e-6)


def test_windows_fade_linearly():
    first, second = symmetric_spans([(0, 4), (2, 6)])
    np.testing.assert_allclose(first.weights, [1, 1, 0.75, 0.25])
    np.testing.assert_allclose(second.weights, [0.25, 0.75, 1, 1])


def test_weights_at_pixels_sum_to_one():
    spans = symmetric_spans([(0, 6), (3, 9)], scale=4)
    total = np.zeros(36)
    for span in spans:
        total[span.start * 4 : span.stop * 4] += span.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_tiles_of_one_size_are_blended():
    planned = plan(height=72, width=150, tile=32, tile_overlap=8)
    (tile,) = planned.space.tiles
    shapes = {box.shape for box in planned.boxes(tile)}
    assert len(shapes) == 1
    (_, height, width) = shapes.pop()
    assert height % 8 == width % 8 == 0 and max(height, width) <= 56 and planned.window_count == 10
    np.testing.assert_allclose(coverage(planned), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "tile", "count"),
    [(270, 480, "auto", 1), (384, 600, "auto", 2), (400, 600, "auto", 4), (400, 600, "none", 1)],
)
def test_large_frames_are_tiled(height: int, width: int, tile: str, count: int):
    assert plan(height=height, width=width, tile=tile).window_count == count


def test_published_tiles_are_enhanced_by_themselves():
    planned = plan(height=360, width=640, compat="official")
    tiles = planned.space.tiles
    assert [tile.size for tile in tiles] == [
        (320, 320), (320, 384), (320, 192), (168, 320), (168, 384), (168, 192),
    ]  # fmt: skip
    assert (tiles[4].core_rows, tiles[4].core_columns) == ((256, 360), (256, 512))
    # The published program cannot leave large frames whole.
    assert plan(height=400, width=400, compat="official", tile="none").window_count == 4


@pytest.mark.parametrize(
    ("options", "size", "padded"),
    [
        ({}, (180, 252), (48, 64)),
        ({"up_scale": 2.0}, (90, 126), (48, 64)),
        ({"up_scale": 3.0}, (135, 189), (48, 64)),
        ({"target_size": (100, 130)}, (100, 130), (48, 64)),
        ({"compat": "official"}, (180, 252), (45, 63)),
    ],
)
def test_sizes(options: dict, size: tuple[int, int], padded: tuple[int, int]):
    planned = plan(height=45, width=63, **options)
    assert planned.output.size == size
    assert planned.space.low_res == (45, 63)
    assert planned.space.padded == padded
    assert planned.working_size == (4 * padded[0], 4 * padded[1])


def test_the_published_program_shrinks_large_frames():
    planned = plan(height=1281, width=1400, compat="official")
    assert planned.space.low_res == (320, 350) and planned.output.size == (1280, 1400)
    large = plan(height=1279, width=1400, compat="official", allow_beyond_4k=True)
    assert large.space.low_res == (1279, 1400)
    with pytest.raises(InputError, match="allow_beyond_4k=True"):
        plan(height=1279, width=1400, compat="official")


@pytest.mark.parametrize("output", ["1080x1920x32", "1921x3416x9"])
def test_a_clip_that_is_planned_by_its_output_is_a_quarter_of_it(output: str):
    config = enhancement_config("upscale_a_video")
    planned = find_clip(config, system=None, described=output)
    height, width, frames = map(int, output.split("x"))
    clip = planned.clip
    assert (clip.height, clip.width, clip.frames) == (-(-height // 4), -(-width // 4), frames)
    assert plan_clip(clip, planned.options).output.size == (height, width)


def test_rate():
    assert plan(4, fps_scale=2).take == (0, 1, 1, 2, 2, 3, 3, 3)
    assert plan(4, rate=30, target_fps=15).take == (0, 2)
    assert plan(4).take == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("frames", "compat", "lengths"),
    [
        (7, "official", [3, 3, 1]),
        (7, "default", [3, 3, 3]),
        (9, "default", [3, 3, 3]),
        (3, "default", [3]),
        (2, "default", [2]),
    ],
)
def test_chunks_to_decode(frames: int, compat: str, lengths: list[int]):
    assert [len(chunk) for chunk in plan(frames, compat=compat).chunks] == lengths


OFFICIAL = {"compat": "official"}
WRONG = [
    ({"noise_level": 351}, "noise_level 351: expected a whole number from 0 to 350"),
    ({"noise_level": -1}, "noise_level -1: expected a whole number from 0 to 350"),
    ({"steps": 20, "propagation_steps": (3, 20)}, "propagation_steps 20: expected .* 0 to 19"),
    ({"propagation_steps": "3,x"}, "propagation_steps '3,x': expected indices of steps"),
    ({"propagation_steps": (-1,)}, "propagation_steps .*expected indices of steps"),
    ({"propagation_steps": 3, "flow": "none"}, "flow 'none': expected raft or dis"),
    ({"flow": "pwc"}, "flow 'pwc': expected one of raft, dis, none"),
    ({"colour": "histogram"}, "colour 'histogram': expected one of none, wavelet, adain, lab"),
    ({"tile": 8}, "tile 8: expected auto, none, or a whole number of at least 16"),
    ({"tile": "big"}, "tile 'big': expected auto, none"),
    ({"window_overlap": 8}, "window_overlap 8: expected less than window, 8"),
    ({"solver": "heun"}, "solver 'heun': expected one of ddim"),
    ({"steps": 1000}, "steps 1000: expected a whole number from 1 to 999"),
    ({"guidance_interval": (9, 3)}, "guidance_interval .9, 3.: expected the lower time step first"),
    ({"up_scale": 0.0625}, "an output of 3x4 .*at least 16 pixels; raise up_scale"),
    ({**OFFICIAL, "up_scale": 2.0}, "up_scale 2: compat 'official' enlarges exactly 4 times"),
    ({**OFFICIAL, "target_size": (99, 99)}, "target_size .*to 192,256; leave target_size"),
    ({**OFFICIAL, "fps_scale": 2.0}, "48 frames per second from 24: compat 'official' keeps"),
    (
        {**OFFICIAL, "propagation_steps": (1,)},
        "propagation_steps .1,.: frames of 48x64 .*at least 121 pixels on both sides.*default",
    ),
    ({**OFFICIAL, "tile": 64}, "tile 64: frames of 48x64 .*expected more than 64 pixels on both"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_options(options: dict, message: str):
    with pytest.raises(InputError, match=message):
        plan(**options)


def test_what_is_allowed_in_spite_of_that():
    assert plan(propagation_steps="1, 3,1").clip
    assert UpscaleAVideoOptions(propagation_steps="28,24").propagation_steps == (24, 28)
    assert UpscaleAVideoOptions(tile="256").tile == 256
    assert plan(**OFFICIAL, target_size=(192, 256)).output.size == (192, 256)
    assert plan(1, **OFFICIAL, propagation_steps=(1,)).clip
    assert plan(**OFFICIAL, propagation_steps=(1,), flow="dis").clip


def test_guidance_below_one():
    assert UpscaleAVideoOptions(guidance_scale=0.5).guided
    assert not UpscaleAVideoOptions(guidance_scale=0.5, compat="official").guided
    assert not UpscaleAVideoOptions(guidance_scale=1).guided
