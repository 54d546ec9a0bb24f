"""Videos with the other streams of a source, and the sound that is heard in them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from video.video_clips import level_frames

from venhancer_jax.video import VideoWriter

# Seconds.
PICTURE = 1 / 24


def carry(source: Path, target: Path, pictures: int = 24, **settings: object) -> Path:
    """Writes grey pictures with the other streams of a source."""
    codec = "av1" if target.suffix == ".webm" else "h264"
    with VideoWriter(
        target,
        width=64,
        height=48,
        rate=Fraction(24),
        codec=codec,
        audio_from=source,
        **settings,  # type: ignore[arg-type]
    ) as writer:
        for frame in (level_frames(24) * 3)[:pictures]:
            writer.write(frame)
    return target


def samples(path: Path, track: int = 0) -> np.ndarray:
    """48 kHz samples by presentation time: silence stands where no packet is heard."""
    heard = np.zeros(48000 * 5, "f4")
    end = 0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=track):
            assert frame.pts is not None and frame.time_base is not None
            assert frame.layout.name == "mono"
            begins = round(frame.pts * frame.time_base * 48000)
            values = frame.to_ndarray().astype("f4").reshape(-1)[: frame.samples]
            if begins < 0:
                values, begins = values[-begins:], 0
            heard[begins : begins + len(values)] = values
            end = max(end, begins + len(values))
    return heard[:end]


def onset(samples: np.ndarray) -> float:
    """Returns the time in seconds at which a tone sets in."""
    return float(np.argmax(np.abs(samples) > 0.1 * np.abs(samples).max())) / 48000
