"""Borders of plans: in the middle of what windows and tiles share, in pixels of the output."""

import dataclasses
import itertools
from fractions import Fraction

from venhancer_jax.pipelines.pieces import window_borders
from venhancer_jax.pipelines.system import Clip
from venhancer_jax.pipelines.tiles import Tiling
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.plan import plan_clip as plan_upscale
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import plan_clip

CLIP = Clip(frames=40, height=72, width=128, rate=Fraction(24))


def test_borders_of_windows():
    assert window_borders([(0, 10)]) == []
    assert window_borders([(0, 10), (6, 16), (12, 22)]) == [8, 14]
    assert window_borders([(0, 10), (10, 20)], scale=4, shift=-3) == [37]


def test_borders_of_venhancer():
    options = VEnhancerOptions(window=9, fps_scale=2.0, up_scale=4.0)
    plan = plan_clip(CLIP, options, rows=(0, 8), columns=8)
    space = plan.space.cut(Tiling(margin=4, core=24), 8)
    borders = dataclasses.replace(plan, space=space).borders
    pairs = list(itertools.pairwise(plan.time.windows))
    assert len(borders.frames) == len(pairs) > 3
    assert all(b[0] <= at <= a[1] for (a, b), at in zip(pairs, borders.frames, strict=True))
    assert len(borders.columns) == len(space.columns) - 1 > 0
    for (a, b), at in zip(itertools.pairwise(space.columns), borders.columns, strict=True):
        assert 8 * b[0] < at < 8 * a[1]
    assert all(0 < row < 4 * 72 for row in borders.rows)


def test_borders_of_upscale_a_video():
    plan = plan_upscale(CLIP, UpscaleAVideoOptions(window=8, tile=48, tile_overlap=8))
    windows = [(span.start, span.stop) for span in plan.frames]
    assert len(plan.borders.frames) == len(windows) - 1 > 2
    assert len(plan.space.columns) > 1
    for (a, b), at in zip(
        itertools.pairwise(plan.space.columns), plan.borders.columns, strict=True
    ):
        assert 4 * b[0] < at < 4 * a[1]
