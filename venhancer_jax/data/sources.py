"""Random-access sources of clips for grain.

A source is a sequence of `Clip`s. A clip is opened when `facts` or `read` is called, so that its
errors are raised where it can be skipped.
"""

import dataclasses
import functools
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from venhancer_jax.data.captions import Captions
from venhancer_jax.errors import InputError
from venhancer_jax.video import VideoInfo, list_videos, probe, read_frames


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """Length, size and rate of a clip.

    Attributes:
      frames: number of frames.
      height: rows of the frames.
      width: columns of the frames.
      rate: frames per second.
    """

    frames: int
    height: int
    width: int
    rate: Fraction


class Clip(Protocol):
    """One clip of a source.

    Attributes:
      name: unique name.
      caption: caption, or empty.
    """

    name: str
    caption: str

    def facts(self) -> ClipFacts:
        """Returns length, size and rate.

        Raises:
          InputError: the clip is damaged.
        """
        ...

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Reads frames, uint8 `[F, H, W, 3]`.

        Args:
          numbers: indices of frames `[F]`, ascending.

        Raises:
          InputError: the clip is damaged.
        """
        ...


@dataclasses.dataclass
class VideoClip:
    """A clip that is a video file."""

    path: Path
    name: str
    caption: str = ""

    @functools.cached_property
    def info(self) -> VideoInfo:
        """Returns the facts of the file.

        Raises:
          InputError: not a video.
        """
        return probe(self.path)

    def facts(self) -> ClipFacts:
        info = self.info
        if info.damage:
            raise InputError(f"{self.name}: damaged: {info.damage}")
        return ClipFacts(frames=info.frames, height=info.height, width=info.width, rate=info.rate)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        info = self.info
        first, last = int(numbers[0]), int(numbers[-1])
        wanted = set(map(int, numbers))
        frames = {}
        start = float(first / info.rate)
        for i, frame in enumerate(
            read_frames(info, start_time=start, max_frames=last - first + 1), first
        ):
            if i in wanted:
                frames[i] = frame
        return np.stack([frames[int(i)] for i in numbers])


@dataclasses.dataclass
class EncodedClip:
    """A clip of a prepared dataset: the bytes of a video file."""

    data: bytes
    name: str
    caption: str
    known: ClipFacts

    def facts(self) -> ClipFacts:
        return self.known

    def read(self, numbers: np.ndarray) -> np.ndarray:
        # The decoder reads files; what it reads here has not left the page cache.
        with tempfile.NamedTemporaryFile(prefix="clip", suffix=".mp4") as file:
            file.write(self.data)
            file.flush()
            return VideoClip(Path(file.name), self.name).read(numbers)


@dataclasses.dataclass
class DamagedClip:
    """A clip of a prepared dataset whose bytes are lost."""

    name: str
    problem: str
    caption: str = ""

    def facts(self) -> ClipFacts:
        raise InputError(self.problem)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        raise InputError(self.problem)


@dataclasses.dataclass
class SyntheticClip:
    """Moving stripes and a moving square, from a seed; takes nearly no time to create."""

    seed: int
    known: ClipFacts
    name: str = ""
    caption: str = ""

    def facts(self) -> ClipFacts:
        return self.known

    def read(self, numbers: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        height, width = self.known.height, self.known.width
        across, down = rng.uniform(-0.3, 0.3, (2, 3))
        speed, phase = rng.uniform(-1, 1, 3), rng.uniform(0, 6, 3)
        side, (vy, vx) = max(1, height // 4), rng.integers(1, 5, 2)
        # Levels 127.5 + 100 sin(a + b) are 127.5 + 100 (sin a cos b + cos a sin b), by channel.
        a = np.outer(across, np.arange(width))
        columns = np.stack([np.sin(a), np.cos(a), np.ones_like(a)], 1)
        frames = np.empty((len(numbers), height, width, 3), np.uint8)
        for frame, t in zip(frames, numbers, strict=True):
            b = np.outer(down, np.arange(height)) + (t * speed + phase)[:, None]
            rows = np.stack([100 * np.cos(b), 100 * np.sin(b), np.full_like(b, 127.5)], 2)
            frame[:] = np.moveaxis(rows @ columns, 0, -1)
            top, left = t * vy % max(1, height - side), t * vx % max(1, width - side)
            frame[top : top + side, left : left + side] = 255 - frame[0, 0]
        return frames


class FolderSource:
    """The videos directly in a folder, with captions from a table or from text files."""

    def __init__(self, folder: str | Path, *, captions: str | Path | None = None):
        """Lists the folder.

        Args:
          folder: folder of videos.
          captions: table of captions, or None.

        Raises:
          InputError: no such folder, no video in it, or a wrong table of captions.
        """
        table, root = Captions(captions), Path(folder)
        self._clips = [
            VideoClip(path, path.name, table.of(path, root)) for path in list_videos(root)
        ]

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Clip:
        return self._clips[index]

    def __repr__(self) -> str:
        return f"FolderSource({len(self)} videos)"


class PreparedSource:
    """A dataset that `venhancer_jax.data.prepare` wrote."""

    def __init__(self, folder: str | Path):
        """Opens the dataset and checks its shards.

        Args:
          folder: folder of the dataset.

        Raises:
          InputError: no dataset, or a shard is missing or damaged.
        """
        from venhancer_jax.data import records  # not needed by the other sources

        self._folder = str(folder)
        self._records = records.open_dataset(folder)
        self._length = len(self._records)

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_length": self._length}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from venhancer_jax.data import records

        self.__dict__.update(state)
        # In a worker process, which opens the shards that it reads; all were checked before.
        self._records = records.open_dataset(self._folder, check=False)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Clip:
        try:
            record = self._records[index]
        except (RuntimeError, ValueError, OSError) as error:
            return DamagedClip(
                f"clip {index} of {self._folder}", f"its record is damaged ({error})"
            )
        return EncodedClip(
            data=record["video"],
            name=record["name"].decode(),
            caption=record["caption"].decode(),
            known=ClipFacts(
                frames=int(record["frames"]),
                height=int(record["height"]),
                width=int(record["width"]),
                rate=Fraction(int(record["rate_numerator"]), int(record["rate_denominator"])),
            ),
        )

    def __repr__(self) -> str:
        return f"PreparedSource({self._folder}, {len(self)} clips)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticSource:
    """Moving patterns for benchmarks and tests.

    Attributes:
      first: number of the first pattern, by which sources differ.
      length: number of clips.
      frames: frames of a clip.
      height: rows of a frame.
      width: columns of a frame.
      rate: frames per second.
    """

    first: int = 0
    length: int = 1000
    frames: int = 64
    height: int = 320
    width: int = 512
    rate: Fraction = Fraction(24)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        facts = ClipFacts(frames=self.frames, height=self.height, width=self.width, rate=self.rate)
        number = self.first + index
        return SyntheticClip(number, facts, f"synthetic {number}", "moving patterns")


@dataclasses.dataclass
class LatentClip:
    """Precomputed arrays of a clip; see `LatentSource`."""

    path: Path
    name: str

    def load(self) -> dict[str, np.ndarray]:
        """Reads all arrays of the file.

        Raises:
          InputError: the file is damaged.
        """
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except Exception as error:  # zip, format and system errors of many kinds
            raise InputError(f"{self.path}: not a readable .npz file ({error})") from error


class LatentSource:
    """A folder of `.npz` files with precomputed latents, one per clip.

    A file holds `video [F, h, w, C]` and `low [F, h, w, C]`, latents of the target and of the
    degraded frames, `key_index [F]`, `scale`, `stride` and `tokens [77]`, as in examples of
    `pipeline`; noise level and text dropout are sampled again each time.
    """

    def __init__(self, folder: str | Path):
        """Lists the folder.

        Args:
          folder: folder of `.npz` files.

        Raises:
          InputError: no `.npz` file in it.
        """
        self._paths = sorted(Path(folder).glob("*.npz"))
        if not self._paths:
            raise InputError(f"{folder}: no .npz file in this folder. Check the path")

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> LatentClip:
        return LatentClip(self._paths[index], self._paths[index].name)

    def __repr__(self) -> str:
        return f"LatentSource({len(self)} clips)"
