"""An input and a result whose frames name their time, with names and texts that attack a page."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from video.video_clips import level_frames, make_video

from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.run_record import RunRecord
from venhancer_jax.pipelines.stages import STAGES, StageUse

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}"
ATTACK = "</script><script>document.title='hacked'</script> it's $(rm -rf /) `x`"
RUN = RunRecord(
    started=("2026-01-01T00:00:00.000+00:00", "2026-01-01T01:00:00.000+00:00"),
    seconds=75.5,
    stages={s: StageUse(seconds=1.5 + i, memory=(i + 1) << 28) for i, s in enumerate(STAGES)},
    devices="1 x cpu",
    segments=(8,),
    scenes=(12,),
    windows=(4,),
    rows=(32,),
    columns=(),
)


def make_pair(folder: Path) -> tuple[Path, Path]:
    """8 frames of 48x64 pixels at 10 a second, and 16 of 96x128 at 20, with equal levels."""
    levels = level_frames(8)
    source = make_video(folder / f"{HOSTILE}.mp4", levels, rate=Fraction(10))
    larger = [f.repeat(2, 0).repeat(2, 1) for f in np.repeat(levels, 2, axis=0)]
    target = make_video(folder / f"out {HOSTILE}.mp4", larger, rate=Fraction(20))
    return source, target


def config_of(source: Path, target: Path) -> ConfigDict:
    config = enhancement_config("venhancer")
    config.input, config.output, config.prompt = str(source), str(target), ATTACK
    config.up_scale, config.fps_scale = 2.0, 2.0
    return config.lock()
