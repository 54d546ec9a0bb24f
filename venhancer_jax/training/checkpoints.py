"""State and data position of a run, saved together and asynchronously with Orbax."""

import json
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from venhancer_jax.errors import InputError
from venhancer_jax.training.state import TrainState

# What Orbax calls the file of a JSON item, and what it is called here with several processes.
_ALONE = "metadata"


class Checkpoints:
    """The checkpoints of a run: the latest few, and every so many for good.

    A checkpoint that was interrupted while it was written does not count. With several processes,
    all have to call every method together; each has a data position of its own.
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
        # Without a primary host every process writes its own file.
        data = ocp.JsonCheckpointHandler(
            _position_file(jax.process_index(), jax.process_count()),
            multiprocessing_options=ocp.options.MultiprocessingOptions(primary_host=None),
        )
        self._manager = ocp.CheckpointManager(
            epath.Path(folder).absolute(),
            options=options,
            item_handlers={"state": ocp.StandardCheckpointHandler(), "data": data},
        )

    @property
    def latest(self) -> int | None:
        """The step of the latest checkpoint; None if there is none."""
        return self._manager.latest_step()

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
          like: shapes, types and shardings to restore to, which need not be those of the saving;
            arrays or `jax.ShapeDtypeStruct`.

        Raises:
          InputError: saved by another number of processes, and not clear where the data go on.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        restored = self._manager.restore(step, args=items)
        return restored["state"], step, self._position(step)

    def wait(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and ends the writing."""
        self.wait()
        self._manager.close()

    def _position(self, step: int) -> dict[str, Any]:
        folder = self._manager.directory / str(step) / "data"
        count = jax.process_count()
        own = folder / _position_file(jax.process_index(), count)
        saved = len([f for f in folder.iterdir() if f.name.startswith((_ALONE, "process_"))])
        if saved == count:
            return json.loads(own.read_text())
        # Where each process takes every n-th example, one number says it all.
        files = [folder / _position_file(i, saved) for i in range(saved)]
        positions = [json.loads(file.read_text())["iterator"] for file in files]
        if any(not isinstance(p, dict) or p.keys() != {"next_index"} for p in positions):
            raise InputError(
                f"{folder}: saved by {saved} processes, cannot go on with {count}: the position of"
                " data that workers decode belongs to their number"
            )
        # Of processes that skipped damaged clips some are ahead; no example is left out.
        done = min(p["next_index"] for p in positions) * saved
        return {"iterator": {"next_index": done // count}}


def _position_file(process: int, count: int) -> str:
    return _ALONE if count == 1 else f"process_{process}-of-{count}.json"
