"""Speed of the training data pipeline on one core, and beside plain decoding, as JSON.

    python -m benchmarks.data_pipeline --examples=24
    python -m benchmarks.data_pipeline --data=FOLDER_OR_DATASET --height=720 --width=1280

Measures a folder of videos, a prepared data set of the same clips, and the data set with real-world
degradations. Rates are per second of processor time, all threads together, so that they do not
depend on other programs; n cores with n workers load about n times as many clips per second.
`of_plain_decoding` is the share of the time that PyAV alone takes to decode the same frames: 1
would be a pipeline that costs nothing. Without `--data`, clips are generated first.
"""

import contextlib
import io
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from absl import app, flags

from venhancer_jax.data.augment import AugmentConfig
from venhancer_jax.data.clips import ClipRules
from venhancer_jax.data.pipeline import training_pipeline
from venhancer_jax.data.prepare import prepare
from venhancer_jax.data.records import is_dataset
from venhancer_jax.data.sources import (
    Clip,
    ClipFacts,
    EncodedClip,
    FolderSource,
    PreparedSource,
    VideoClip,
)
from venhancer_jax.video import VideoWriter

DATA = flags.DEFINE_string("data", None, "folder of videos or prepared data set; none: generated")
EXAMPLES = flags.DEFINE_integer(
    "examples", 24, "examples of each measurement, after two for warm-up"
)
FRAMES = flags.DEFINE_integer("frames", 17, "frames of an example")
HEIGHT = flags.DEFINE_integer("height", 320, "rows of an example")
WIDTH = flags.DEFINE_integer("width", 512, "columns of an example")
# Prefetching runs ahead of the first example.
_WARM_UP = 2


class RecordedClip:
    """A clip that records which of its frames are read."""

    def __init__(self, clip: Clip, reads: list[tuple[Clip, np.ndarray]]):
        self.name, self.caption = clip.name, clip.caption
        self._clip, self._reads = clip, reads

    def facts(self) -> ClipFacts:
        return self._clip.facts()

    def read(self, numbers: np.ndarray) -> np.ndarray:
        self._reads.append((self._clip, numbers))
        return self._clip.read(numbers)


class RecordingSource:
    """A source of `RecordedClip`s.

    Attributes:
      reads: clip and frame indices of each read.
    """

    def __init__(self, source: Any):
        self._source = source
        self.reads: list[tuple[Clip, np.ndarray]] = []

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> RecordedClip:
        return RecordedClip(self._source[index], self.reads)


def write_clips(folder: Path, count: int = 4, frames: int = 60) -> None:
    """Writes videos of moving noise, somewhat larger than an example."""
    folder.mkdir()
    height, width = HEIGHT.value * 9 // 8 // 2 * 2, WIDTH.value * 9 // 8 // 2 * 2
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + frames, 3), np.uint8)
        texture = coarse.repeat(8, 0).repeat(8, 1)[:height]
        texture = texture // 2 + rng.integers(0, 64, texture.shape, np.uint8)
        path = folder / f"{number}.mp4"
        with VideoWriter(path, width=width, height=height, rate=Fraction(24)) as out:
            for i in range(frames):
                out.write(np.ascontiguousarray(texture[:, 4 * i : 4 * i + width]))


def measure(source: Any, config: AugmentConfig) -> dict[str, float]:
    """Measures clips per second of processor time, and the share of plain decoding."""
    recording = RecordingSource(source)
    stream = iter(training_pipeline(recording, config, batch=1))
    for _ in itertools.islice(stream, _WARM_UP):
        pass
    first, start, wall = len(recording.reads), time.process_time(), time.perf_counter()
    for _ in itertools.islice(stream, EXAMPLES.value):
        pass
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    # Prefetching starts as many examples before the first as it leaves after the last.
    reads = recording.reads[first : first + EXAMPLES.value]
    start = time.process_time()
    for clip, numbers in reads:
        decode_plainly(clip, numbers)
    plain = time.process_time() - start
    return {
        "clips_per_second_per_core": len(reads) / seconds,
        "of_plain_decoding": plain / seconds,
        "plain_clips_per_second_per_core": len(reads) / plain,
        "clips_per_second_of_the_clock": EXAMPLES.value / wall,
    }


def decode_plainly(clip: Clip, numbers: np.ndarray) -> list[np.ndarray]:
    """Decodes frames as RGB from the nearest key frame, without any checks."""
    wanted, frames = set(map(int, numbers)), []
    with _opened(clip) as file, av.open(file, "r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate, unit = stream.average_rate, stream.time_base
        assert rate is not None and unit is not None
        container.seek(int(numbers[0] / rate / unit), stream=stream)
        for frame in container.decode(stream):
            number = round((frame.pts or 0) * unit * rate)
            if number in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
            if number >= numbers[-1]:
                break
    return frames


@contextlib.contextmanager
def _opened(clip: Clip) -> Iterator[BinaryIO]:
    if isinstance(clip, EncodedClip):
        yield io.BytesIO(clip.data)
        return
    assert isinstance(clip, VideoClip)
    with clip.path.open("rb") as file:
        yield file


def main(argv: list[str]) -> None:
    del argv
    sizes: dict[str, Any] = {"frames": FRAMES.value, "height": HEIGHT.value, "width": WIDTH.value}
    config = AugmentConfig(**sizes)
    degraded = AugmentConfig(**sizes, real_world=1.0)
    facts: dict[str, Any] = {"examples": EXAMPLES.value, **sizes}
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(DATA.value) if DATA.value else Path(scratch) / "videos"
        if not DATA.value:
            write_clips(data)
        dataset = data
        if not is_dataset(data):
            facts["folder"] = measure(FolderSource(data), config)
            dataset = Path(scratch) / "dataset"
            rules = ClipRules(min_height=HEIGHT.value, min_frames=FRAMES.value, min_fps=1)
            prepare(data, dataset, rules=rules)
        facts["prepared"] = measure(PreparedSource(dataset), config)
        facts["real_world"] = measure(PreparedSource(dataset), degraded)
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    app.run(main)
