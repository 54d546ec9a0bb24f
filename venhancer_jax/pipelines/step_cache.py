"""What denoising steps reuse of earlier steps, as a plan and a cache.

Inputs of neighbouring steps differ little. Three intermediate results of a call can serve
the next ones: the difference that guidance amplifies, the features of a ControlNet if there is
one, and those below the first level of the UNet. Which call stores and which reuses what follows
from the time steps alone, so it is planned for the whole run beforehand.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import jax

from venhancer_jax.pipelines.options import GuidedOptions

# Compute; compute and store for later calls; take what an earlier call stored.
FeatureSource = Literal["compute", "store", "reuse"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepPlan:
    """Sources of the parts of one network call; static in the compiled program.

    Attributes:
      difference: conditional minus unconditional prediction, None without guidance. Unless it is
        computed, only the conditional part of the guidance pair runs.
      control: features of the ControlNet.
      deep_features: features below the first level of the UNet; where they are reused, the
        ControlNet computes its first level only.
    """

    difference: FeatureSource | None = "compute"
    control: FeatureSource = "compute"
    deep_features: FeatureSource = "compute"

    @property
    def guidance_batch(self) -> int:
        """Returns the videos per denoised video: 2 where the negative prompt runs as well."""
        return 1 if self.difference in (None, "reuse") else 2


class StepCache(NamedTuple):
    """Results of earlier calls on a batch of B windows; None for what is not stored.

    Attributes:
      difference: `[B, F, h, w, C]`.
      control: `[guidance_batch * B, F, h', w', C']` of each output of the encoder, or of its first
        level.
      deep_features: `[guidance_batch * B, F, h, w, C]`.
    """

    difference: jax.Array | None = None
    control: tuple[jax.Array, ...] | None = None
    deep_features: jax.Array | None = None

    def updated(self, new: "StepCache") -> "StepCache":
        """Returns the cache with all results that are new."""
        return self._replace(**{name: x for name, x in new._asdict().items() if x is not None})

    def only(self, names: Iterable[str]) -> "StepCache":
        """Returns the cache with the named results alone."""
        dropped = set(self._fields) - set(names)
        return self._replace(**dict.fromkeys(dropped))


def plan_steps_reuse(
    times: Iterable[int], options: GuidedOptions, *, guided: bool
) -> tuple[StepPlan, ...]:
    """Plans every network call.

    A stored result serves the `k - 1` calls after its own. It is computed earlier where it lacks
    what a call needs: the unconditional part, or the deep levels of the ControlNet.

    Args:
      times: time step of each call, in order.
      options: options of the user.
      guided: whether there is a negative prompt.
    """
    low, high = options.guidance_interval
    difference = _Age(options.guidance_reuse)
    control, deep = _Age(options.control_reuse), _Age(options.deep_reuse)
    plans = []
    for t in times:
        inside = guided and low <= t <= high
        difference_source = difference.source() if inside else None
        copies = StepPlan(difference=difference_source).guidance_batch
        deep_source = deep.source(copies)
        depth = "first level" if deep_source == "reuse" else "all levels"
        control_source = control.source(copies, depth)
        plans.append(
            StepPlan(
                difference=difference_source, control=control_source, deep_features=deep_source
            )
        )
    return tuple(plans)


class CachedSteps:
    """Runs the planned calls on one batch of windows and holds what later calls reuse."""

    def __init__(self, plans: Sequence[StepPlan]):
        """Starts with an empty cache.

        Args:
          plans: plan of every call to come.
        """
        self._plans = plans
        self._next = 0
        self._cache = StepCache()

    def __call__(
        self, step: Callable[[StepPlan, StepCache], tuple[jax.Array, StepCache]]
    ) -> jax.Array:
        """Runs the next call.

        Args:
          step: `(plan, results that it reuses) -> (clean latents, results that it stores)`.

        Returns:
          Clean latents of the call.
        """
        plan = self._plans[self._next]
        self._next += 1
        # Other arguments would make another program.
        x0, new = step(plan, self._cache.only(_reused(plan)))
        self._cache = self._cache.updated(new).only(filter(self._is_reused_later, new._fields))
        return x0

    def _is_reused_later(self, name: str) -> bool:
        sources = [getattr(plan, name) for plan in self._plans[self._next :]]
        uses = [source for source in sources if source in ("reuse", "store")]
        return bool(uses) and uses[0] == "reuse"


def _reused(plan: StepPlan) -> list[str]:
    return [name for name in StepCache._fields if getattr(plan, name) == "reuse"]


class _Age:
    """Counts the calls since a result was stored, and knows what the result holds."""

    def __init__(self, every: int):
        self._every, self._left = every, 0
        self._copies, self._depth = 0, ""

    def source(self, copies: int = 1, depth: str = "all levels") -> FeatureSource:
        """Returns the source of the next call's result, for a guidance batch and a depth."""
        if self._every == 1:
            return "compute"
        self._left -= 1
        if self._left > 0 and copies <= self._copies and depth in (self._depth, "first level"):
            return "reuse"
        self._left, self._copies, self._depth = self._every, copies, depth
        return "store"
