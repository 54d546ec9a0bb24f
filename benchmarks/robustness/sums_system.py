"""A system without networks, for measurements of what surrounds them.

Frames are brightened by what was seen of the scene before them, so that a segment which continues
another one wrongly shows.
"""

import dataclasses
import time
from collections.abc import Iterable
from fractions import Fraction

import jax.numpy as jnp
import numpy as np

from benchmarks.plain_system import PlainSystem, spec_of
from venhancer_jax.pipelines.continuation import Place
from venhancer_jax.pipelines.options import LOOK, EnhanceOptions
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.segments import SegmentSizes
from venhancer_jax.pipelines.system import EnhancedSegment
from venhancer_jax.settings import number, whole

NAME = "sums"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SumsOptions(EnhanceOptions):
    """Options of the system."""

    brightness: int = whole(0, low=0, high=255, group=LOOK, about="what is added to each pixel")
    memory: float = number(
        1 / 16, low=0, high=1, group=LOOK, about="how much a frame is brightened by those before it"
    )
    delay: float = number(0.0, low=0, high=100, group=LOOK, about="seconds to wait at each frame")


class Sums(PlainSystem):
    """The system; the latents of a frame are the sum of the levels of its scene up to it."""

    options_class = SumsOptions

    def segment_sizes(self, rate: Fraction, options: SumsOptions) -> SegmentSizes:
        """Returns how a clip is cut into segments; windows share half of their frames."""
        del rate
        overlap = options.window // 2
        return SegmentSizes(window=options.window, overlap=overlap, windows=options.segment_windows)

    def brightened(self, frame: np.ndarray, amount: int) -> np.ndarray:
        """Returns a brighter frame, uint8 `[H, W, 3]`."""
        return np.minimum(frame.astype(int) + amount, 255).astype(np.uint8)

    def enhance_segment(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: SumsOptions,
        place: Place,
        progress: Progress,
    ) -> EnhancedSegment:
        """Brightens the frames of a segment."""
        del rate, progress
        known = place.known(1)
        sums = [] if known is None else known[0, : place.first - place.start, 0, 0, 0].tolist()
        lead = place.lead(1, 1)
        total = sums[-1] if sums else 0.0 if lead is None else float(lead.sum())
        enhanced = []
        for index, frame in enumerate(frames, place.start):
            time.sleep(options.delay)
            if index >= place.first:
                total = np.float32(total + frame.mean())
                sums.append(total)
            seen = round(options.memory * float(sums[index - place.start])) % 64
            enhanced.append(self.brightened(frame, options.brightness + seen))
        latents = jnp.asarray(np.array(sums, np.float32).reshape(1, -1, 1, 1, 1))
        finished = place.keep(latents, stride=1, window=options.window)
        first = place.first - place.start
        return EnhancedSegment(
            finished, lambda stop: iter(enhanced[first : stop + 1 - place.start])
        )


SPEC = spec_of(NAME, Sums)
# Config file of the command line, which registers the system.
CONFIG = f"""
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.registry import SYSTEMS

SYSTEMS["{NAME}"] = "{__name__}"

def get_config():
    return enhancement_config("{NAME}").lock()
"""
