"""Comparisons of our results with recorded ones."""

import dataclasses

import numpy as np

# Tolerances of the relative L2 error; rounding to half precision alone is up to 5e-4.
BLOCK, NETWORK, FULL_SIZE, HALF = 1e-5, 5e-5, 1e-4, 5e-4


@dataclasses.dataclass(frozen=True)
class Case:
    """The result of a comparison.

    Attributes:
      name: name of the recording and of the tensor in it.
      max_abs: largest absolute difference.
      relative: L2 norm of the difference over the L2 norm of the recording.
      tolerance: largest allowed `relative`; 0 requires equality.
      passed: whether the difference is within the tolerance.
      note: reason of a failure that is not a number, or a remark.
    """

    name: str
    max_abs: float
    relative: float
    tolerance: float
    passed: bool
    note: str = ""


def compare(name: str, ours: object, recorded: np.ndarray, tolerance: float) -> Case:
    """Compares floating-point arrays of one shape; infinities must be at the same positions.

    Args:
      name: name of the case.
      ours: computed array.
      recorded: recorded array.
      tolerance: largest relative L2 error.
    """
    if recorded.dtype == np.float16:
        tolerance = max(tolerance, HALF)
    got, want = np.asarray(ours, np.float64), np.asarray(recorded, np.float64)
    if got.shape != want.shape:
        return failed(name, f"ours is {got.shape}, recorded {want.shape}", tolerance)
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite]):
        return failed(name, "infinite in one only", tolerance)
    difference = got[finite] - want[finite]
    norm = np.linalg.norm(want[finite])
    relative = float(np.linalg.norm(difference) / norm) if norm else float(np.abs(difference).max())
    max_abs = float(np.abs(difference).max(initial=0))
    return Case(name, max_abs, relative, tolerance, relative <= tolerance)


def equal(name: str, ours: object, recorded: object) -> Case:
    """Compares tables of integers or rates, exactly."""
    got, want = np.asarray(ours), np.asarray(recorded)
    if got.shape != want.shape:
        return failed(name, f"ours is {got.tolist()}, recorded {want.tolist()}", 0)
    difference = np.abs(got.astype(float) - want.astype(float))
    worst = float(difference.max(initial=0))
    return Case(name, worst, worst, 0, worst == 0)


def equal_tables(name: str, ours: dict[str, object], recorded: dict[str, object]) -> Case:
    """Compares many small tables by key; reports the keys that differ."""
    wrong = [key for key, value in recorded.items() if _plain(ours[key]) != _plain(value)]
    name = f"{name} ({len(recorded)})"
    if wrong:
        key = wrong[0]
        return failed(name, f"{len(wrong)} differ, first {key}: {ours[key]} != {recorded[key]}", 0)
    return Case(name, 0, 0, 0, True)


def nearly_equal_bytes(name: str, ours: np.ndarray, recorded: np.ndarray) -> Case:
    """Compares uint8 frames: rounding may move one value in 200 by one."""
    if ours.shape != recorded.shape:
        return failed(name, f"ours is {ours.shape}, recorded {recorded.shape}", 0)
    difference = np.abs(ours.astype(int) - recorded.astype(int))
    share = float((difference > 0).mean())
    norm = np.linalg.norm(recorded.astype(float))
    return Case(
        name,
        float(difference.max()),
        float(np.linalg.norm(difference) / max(norm, 1.0)),  # every value may be 0
        HALF,
        bool(difference.max() <= 1 and share <= 1 / 200),
        f"{share:.2%} of the values off by one",
    )


def failed(name: str, note: str, tolerance: float = 0) -> Case:
    """Returns the failed case of a comparison that is impossible.

    Args:
      name: name of the case.
      note: reason.
      tolerance: tolerance to show.
    """
    return Case(name, float("inf"), float("inf"), tolerance, False, note)


def _plain(value: object) -> object:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
