"""The system without networks, slowed down, with a record of each segment that it computes."""

import dataclasses
import os
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.media import identity
from venhancer_jax.pipelines.system import EnhancedSegment

RECORD, SECONDS = "SLOW_IDENTITY_RECORD", "SLOW_IDENTITY_SECONDS"


class SlowIdentity(identity.Identity):
    """The system; the environment says how many seconds a frame takes, and where it is recorded."""

    def enhance_segment(self, frames: Iterable[np.ndarray], **others: Any) -> EnhancedSegment:
        kept = list(frames)
        time.sleep(float(os.environ[SECONDS]) * len(kept))
        with open(os.environ[RECORD], "a") as record:
            record.write(f"{os.getpid()}\n")
        return super().enhance_segment(kept, **others)


SPEC = dataclasses.replace(
    identity.SPEC, name="slow_identity", load=lambda folders, weights, *, mesh: SlowIdentity(mesh)
)
