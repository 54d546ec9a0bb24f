"""State and data position of a run, saved together and asynchronously with Orbax."""

from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from venhancer_jax.training.state import TrainState


class Checkpoints:
    """The checkpoints of a run: the latest few, and every so many for good.

    A checkpoint that was interrupted while it was written does not count.
    """

    def __init__(
        self,
        folder: epath.PathLike,
        *,
        save_every: int,
        keep: int = 3,
        keep_every: int | None = None,
    ):
        """Opens the folder, local or `gs://`.

        Args:
          folder: of the checkpoints.
          save_every: steps from one to the next.
          keep: how many of the latest stay.
          keep_every: steps whose multiples stay for good.
        """
        options = ocp.CheckpointManagerOptions(
            save_interval_steps=save_every, max_to_keep=keep, keep_period=keep_every
        )
        self._manager = ocp.CheckpointManager(epath.Path(folder).absolute(), options=options)

    def save(
        self, state: TrainState, step: int, data: dict[str, Any], *, force: bool = False
    ) -> None:
        """Saves in the background if it is time to, or at once if forced.

        The next batch may be taken from the data only after this: the two belong together.
        """
        if force and self._manager.latest_step() == step:
            return
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), data=ocp.args.JsonSave(data))
        self._manager.save(step, args=items, force=force)

    def restore(self, like: TrainState) -> tuple[TrainState, int, dict[str, Any]] | None:
        """The latest state, its step and its data position; None if there is none.

        Args:
          like: shapes, types and shardings to restore to, which need not be those of the saving.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract), data=ocp.args.JsonRestore()
        )
        restored = self._manager.restore(step, args=items)
        return restored["state"], step, restored["data"]

    def close(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()
