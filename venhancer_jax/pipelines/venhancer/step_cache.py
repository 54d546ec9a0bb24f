"""What is not computed anew in every denoising step, as a plan and a cache.

Neighbouring steps ask the network almost the same. Three of its intermediate results can be kept
from one call for the next ones: the difference that guidance amplifies, the features of the
ControlNet, and those below the first level of the UNet. Which call keeps and which reuses what
follows from the time steps alone, so it is decided for the whole run beforehand.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import jax

from venhancer_jax.pipelines.options import EnhanceOptions

# Compute it; compute it and keep it; take what was kept.
Source = Literal["compute", "keep", "reuse"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """Where one network call has its parts from; static in the compiled program.

    Attributes:
      difference: conditional minus unconditional prediction, None without guidance. Unless it is
        computed, only the conditional half of the pair runs.
      control: features of the ControlNet.
      deep: features below the first level of the UNet; where they are reused, the ControlNet
        computes its first level only.
    """

    difference: Source | None = "compute"
    control: Source = "compute"
    deep: Source = "compute"

    @property
    def halves(self) -> int:
        """Videos for each one that is denoised: 2 where the negative prompt runs as well."""
        return 1 if self.difference in (None, "reuse") else 2


class Kept(NamedTuple):
    """Results of earlier calls on a batch of videos; None for what was never kept.

    Attributes:
      difference: `[B, F, h, w, 4]`.
      control: `[halves * B, F, h', w', C']` of each output of the encoder, or of its first level.
      deep: `[halves * B, F, h, w, C]`.
    """

    difference: jax.Array | None = None
    control: tuple[jax.Array, ...] | None = None
    deep: jax.Array | None = None

    def updated(self, new: "Kept") -> "Kept":
        """With all that is new in place of what was there."""
        return self._replace(**{name: x for name, x in new._asdict().items() if x is not None})

    def needed(self, work: Work) -> "Kept":
        """What the work reuses, and nothing else: other arguments would make other programs."""
        return self._replace(
            **{name: None for name in self._fields if getattr(work, name) != "reuse"}
        )


def plan_work(times: Iterable[int], options: EnhanceOptions, *, guided: bool) -> tuple[Work, ...]:
    """The work of every network call.

    A kept result serves the `k - 1` calls after its own. It is computed early where it lacks what
    a call needs: the unconditional half, or the deep levels of the ControlNet.

    Args:
      times: time step of each call, in order.
      options: of the user.
      guided: whether there is a negative prompt.
    """
    low, high = options.guidance_interval
    difference = _Age(options.guidance_reuse)
    control, deep = _Age(options.controlnet_reuse), _Age(options.deep_reuse)
    works = []
    for t in times:
        inside = guided and low <= t <= high
        of_difference = difference.source() if inside else None
        halves = Work(difference=of_difference).halves
        of_deep = deep.source(halves)
        depth = "first level" if of_deep == "reuse" else "all levels"
        of_control = control.source(halves, depth)
        works.append(Work(difference=of_difference, control=of_control, deep=of_deep))
    return tuple(works)


class Reusing:
    """Goes through the calls of a plan, and holds what is kept between them."""

    def __init__(self, works: Sequence[Work]):
        """Starts with nothing kept.

        Args:
          works: of every call that will come.
        """
        self._works = iter(works)
        self._kept = Kept()

    def __call__(self, step: Callable[[Work, Kept], tuple[jax.Array, Kept]]) -> jax.Array:
        """Makes the next call.

        Args:
          step: `(work, what it reuses) -> (x0, what it keeps)`.

        Returns:
          Its clean latents.
        """
        work = next(self._works)
        x0, new = step(work, self._kept.needed(work))
        self._kept = self._kept.updated(new)
        return x0


class _Age:
    """Counts the calls since a result was kept, and knows what is in it."""

    def __init__(self, every: int):
        self._every, self._left = every, 0
        self._halves, self._depth = 0, ""

    def source(self, halves: int = 1, depth: str = "all levels") -> Source:
        """Where the next call has it from, which needs it of so many halves and levels."""
        if self._every == 1:
            return "compute"
        self._left -= 1
        if self._left > 0 and halves <= self._halves and depth in (self._depth, "first level"):
            return "reuse"
        self._left, self._halves, self._depth = self._every, halves, depth
        return "keep"
