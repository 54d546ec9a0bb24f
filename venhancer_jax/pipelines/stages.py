"""Time and memory of the stages of a run, summed over the runs that a result took."""

import dataclasses
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import jax

Item = TypeVar("Item")
# In the order of a run; the threads of reading, computing and writing work at the same time.
STAGES = ("read", "encode", "image", "denoise", "decode", "write")
_STATUS = Path("/proc/self/status")
# Least time between two looks at the memory, which take a tenth of a millisecond.
_SAMPLE_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageUse:
    """What a stage used.

    Attributes:
      seconds: time in which its thread worked, without waiting for other threads.
      memory: largest memory of the process seen in the stage, in bytes; 0 if unknown.
      device_memory: largest memory in use on one device seen in the stage, in bytes; 0 if unknown.
    """

    seconds: float = 0.0
    memory: int = 0
    device_memory: int = 0

    def __add__(self, other: Self) -> Self:
        """Returns the sum of the times and the larger of the memories."""
        return dataclasses.replace(
            self,
            seconds=self.seconds + other.seconds,
            memory=max(self.memory, other.memory),
            device_memory=max(self.device_memory, other.device_memory),
        )


class StageMeter:
    """Sums what stages use, from several threads."""

    def __init__(self) -> None:
        self._uses: dict[str, StageUse] = {}
        self._lock = threading.Lock()
        self._sampled = 0.0
        self._peaks = _memory()[0], _device_memory()[0]

    def add(self, stage: str, seconds: float) -> None:
        """Adds time to a stage, and the memory in use.

        Args:
          stage: name of the stage.
          seconds: time that passed in the stage.
        """
        now = time.perf_counter()
        with self._lock:
            use = StageUse(seconds=seconds)
            if stage not in self._uses or now - self._sampled > _SAMPLE_SECONDS:
                self._sampled = now
                use += self._memory_use()
            self._uses[stage] = self._uses.get(stage, StageUse()) + use

    def _memory_use(self) -> StageUse:
        seen = _memory(), _device_memory()
        # A peak that rose was in the time that passed; one of earlier stages says nothing.
        host, device = (
            peak if peak > before else now
            for (peak, now), before in zip(seen, self._peaks, strict=True)
        )
        self._peaks = seen[0][0], seen[1][0]
        return StageUse(memory=host, device_memory=device)

    def take(self) -> dict[str, dict[str, Any]]:
        """Returns what the stages used since the last call, as JSON values by name."""
        with self._lock:
            uses, self._uses = self._uses, {}
        return {stage: dataclasses.asdict(use) for stage, use in uses.items()}


class Laps:
    """Divides the time of one thread among stages.

    laps.start(); encode(); laps.finish("encode"); denoise(); laps.finish("denoise")
    """

    def __init__(self, meter: StageMeter) -> None:
        """Starts the first lap.

        Args:
          meter: sums of all threads.
        """
        self._meter = meter
        self.start()

    def start(self) -> None:
        """Starts a lap; the time since the last one counts for no stage."""
        self._started = time.perf_counter()

    def finish(self, stage: str) -> None:
        """Ends a lap, which counts for a stage, and starts the next."""
        now = time.perf_counter()
        self._meter.add(stage, now - self._started)
        self._started = now

    def each(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yields items; the time in which they are computed counts for a stage."""
        self.start()
        for item in items:
            self.finish(stage)
            yield item
            self.start()

    def waiting(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields items of another thread; the time of waiting for them counts for no stage."""
        iterator = iter(items)
        while True:
            began = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._started += time.perf_counter() - began
            yield item


def sum_uses(records: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, StageUse]:
    """Sums records of `StageMeter.take`, in the order of a run.

    Args:
      records: what stages used, as JSON values by name.
    """
    total: dict[str, StageUse] = {}
    for record in records:
        for stage, use in record.items():
            total[stage] = total.get(stage, StageUse()) + StageUse(**use)
    ordered = sorted(total, key=lambda s: STAGES.index(s) if s in STAGES else len(STAGES))
    return {stage: total[stage] for stage in ordered}


def _memory() -> tuple[int, int]:
    """Returns the largest and the present memory of the process in bytes; 0 if unknown."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0, 0
    found = {
        line[:6]: int(line.split()[1]) for line in lines if line.startswith(("VmHWM", "VmRSS"))
    }
    return 1024 * found.get("VmHWM:", 0), 1024 * found.get("VmRSS:", 0)


def _device_memory() -> tuple[int, int]:
    """Returns the largest and the present memory of one device in bytes; 0 if unknown."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    return tuple(  # pyright: ignore[reportReturnType]
        max((each.get(key, 0) for each in stats), default=0)
        for key in ("peak_bytes_in_use", "bytes_in_use")
    )
