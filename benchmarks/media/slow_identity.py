"""The system without networks, slowed down, with a record of each segment that it computes."""

import os
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.media.identity import Identity
from benchmarks.plain_system import spec_of
from venhancer_jax.pipelines.system import EnhancedSegment

RECORD, SECONDS = "SLOW_IDENTITY_RECORD", "SLOW_IDENTITY_SECONDS"


class SlowIdentity(Identity):
    """The system; the environment says how many seconds a frame takes, and where it is recorded."""

    def enhance_segment(self, frames: Iterable[np.ndarray], **others: Any) -> EnhancedSegment:
        kept = list(frames)
        time.sleep(float(os.environ[SECONDS]) * len(kept))
        with open(os.environ[RECORD], "a") as record:
            record.write(f"{os.getpid()}\n")
        return super().enhance_segment(kept, **others)


SPEC = spec_of("slow_identity", SlowIdentity)
