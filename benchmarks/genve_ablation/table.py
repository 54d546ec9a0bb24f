"""The results of the ablation as a table, and what is required of them."""

import itertools
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.genve_ablation.measure import METRICS, NOISE_LEVELS
from benchmarks.genve_ablation.train import ROWS

# row -> seed -> kind of clips -> reference -> metric -> value
Results = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]]


def table(results: Results) -> str:
    """Formats means over seeds, and the largest distance of a seed from the mean."""
    lines = []
    kinds = dict.fromkeys(
        kind for row in results.values() for seed in row.values() for kind in seed
    )
    for kind in kinds:
        lines.append(f"{kind} clips: mean over seeds, and largest distance of a seed")
        lines.append(f"{'row':4}{'reference':10}" + "".join(f"{name:>18}" for name in METRICS))
        for row in ROWS:
            seeds = [x[kind] for x in results.get(row, {}).values() if kind in x]
            for name in seeds[0] if seeds else ():
                cells = (_cell([x[name][m] for x in seeds if m in x[name]]) for m in METRICS)
                lines.append(f"{row:4}{name:10}" + "".join(f"{x:>18}" for x in cells))
        lines.append("")
    return "\n".join([*lines, *checks(results)])


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    mean = statistics.mean(values)
    return f"{mean:.4f} ±{max(abs(x - mean) for x in values):.4f}"


def checks(results: Results) -> Iterator[str]:
    """Yields a line for each requirement, of the seeds that are finished."""
    seeds = sorted({seed for row in results.values() for seed in row})

    def of(row: str, reference: str, seed: str, kind: str, metric: str) -> float | None:
        found: Any = results.get(row, {}).get(seed, {}).get(kind, {})
        return found[reference][metric] if reference in found else None

    def ratios(
        above: tuple[str, str],
        below: tuple[str, str],
        kind: str = "synthetic",
        metric: str = "lpips",
    ) -> list[float]:
        pairs = [(of(*above, s, kind, metric), of(*below, s, kind, metric)) for s in seeds]
        return [a / b for a, b in pairs if a is not None and b is not None]

    for row in ("B", "C"):
        found = ratios((row, "true"), ("A", "none"))
        yield _verdict(f"LPIPS of {row} / A, synthetic, at most 0.9", found, lambda x: x <= 0.9)
    for kind in ("synthetic", "real"):
        found = ratios(("C3", "other"), ("A", "none"), kind)
        yield _verdict(
            f"LPIPS of C3 with another picture / A, {kind}, at most 1.05",
            found,
            lambda x: x <= 1.05,
        )
    for kind in ("synthetic", "real"):
        losses = {row: ratios((row, "shifted"), (row, "true"), kind) for row in ("C", "C2")}
        found = [b / a for a, b in zip(losses["C"], losses["C2"], strict=False)]
        yield _verdict(f"LPIPS shifted / true, C2 / C, {kind}, below 1", found, lambda x: x < 1)
    for kind in ("synthetic", "real"):
        for less, more in itertools.pairwise(NOISE_LEVELS):
            found = ratios(("C3", f"noise {more}"), ("C3", f"noise {less}"), kind, "change")
            name = f"change of C3 from the input, noise {more} / {less}, {kind}, above 1"
            yield _verdict(name, found, lambda x: x > 1)


def _verdict(name: str, values: list[float], good: Any) -> str:
    state = "not measured" if not values else "yes" if all(map(good, values)) else "NO"
    return " ".join([f"{name}:", *(f"{x:.3f}" for x in values), state])
