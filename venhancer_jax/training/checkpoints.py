"""State and data position of a run, saved together and asynchronously with Orbax."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.training.objective import Frozen
from venhancer_jax.training.state import TrainState

# Orbax's name for the file of a JSON item, kept for runs of a single process.
_ALONE = "metadata"


class Checkpoints:
    """The checkpoints of a run: the latest few, and some that stay for good.

    A checkpoint whose writing was interrupted does not count. With several processes, all have to
    call every method together; each has a data position of its own, which grain's handler of
    iterators would restore for an unchanged number of processes only.
    """

    def __init__(
        self,
        folder: epath.PathLike,
        *,
        save_every: int,
        keep: int = 3,
        keep_every: int | None = None,
        frozen: Mapping[str, str] | None = None,
    ):
        """Opens the folder.

        Args:
          folder: folder of the checkpoints, local or `gs://`.
          save_every: number of steps from a checkpoint to the next.
          keep: number of latest checkpoints that stay.
          keep_every: number of steps whose multiples keep their checkpoints for good.
          frozen: fingerprint of the frozen parameters of each network.
        """
        self._frozen = dict(frozen or {})
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
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "data": data,
                "frozen": ocp.JsonCheckpointHandler(),
            },
        )

    @property
    def latest(self) -> int | None:
        """Returns the step of the latest checkpoint; None without one."""
        return self._manager.latest_step()

    def save(
        self, state: TrainState, step: int, data: dict[str, Any], *, force: bool = False
    ) -> None:
        """Saves in the background if a checkpoint is due or forced.

        Args:
          state: state after `step` steps.
          step: number of steps taken.
          data: position of the data; no batch may be taken between this position and the save.
          force: save although no checkpoint is due.
        """
        if force and self._manager.latest_step() == step:
            return
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            data=ocp.args.JsonSave(data),
            frozen=ocp.args.JsonSave(self._frozen),
        )
        self._manager.save(step, args=items, force=force)

    def restore(self, like: TrainState) -> tuple[TrainState, int, dict[str, Any]] | None:
        """Restores the latest state, its step and its data position; None without a checkpoint.

        Args:
          like: shapes, types and shardings of the state, arrays or `jax.ShapeDtypeStruct`; the
            shardings may differ from those when it was saved.

        Raises:
          InputError: other frozen parameters, a checkpoint of an earlier version, or one of
            another number of processes whose data position cannot be converted.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        self._check_frozen(step)
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        saved = self._manager.item_metadata(step)["state"]
        if saved is not None and "updates" not in saved:
            raise InputError(
                f"{self._manager.directory / str(step)}: saved by an earlier version. Start in"
                " another workdir, from the weights of this run (config.prior)"
            )
        restored = self._manager.restore(step, args=items)
        return restored["state"], step, self._position(step)

    def wait(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits until everything is written and closes the folder."""
        self.wait()
        self._manager.close()

    def _check_frozen(self, step: int) -> None:
        file = self._manager.directory / str(step) / "frozen" / _ALONE
        saved = json.loads(file.read_text()) if file.exists() else {}
        for name in saved.keys() & self._frozen.keys():
            if saved[name] != self._frozen[name]:
                raise InputError(
                    f"{self._manager.directory}: the run began with other frozen weights of"
                    f" {name!r} ({saved[name]}, now {self._frozen[name]}): give the same weight"
                    " folder and seed, or another workdir"
                )

    def _position(self, step: int) -> dict[str, Any]:
        folder = self._manager.directory / str(step) / "data"
        count = jax.process_count()
        own = folder / _position_file(jax.process_index(), count)
        saved = len([f for f in folder.iterdir() if f.name.startswith((_ALONE, "process_"))])
        if saved == count:
            return json.loads(own.read_text())
        # Where each process takes every n-th example, one number determines all positions.
        files = [folder / _position_file(i, saved) for i in range(saved)]
        positions = [json.loads(file.read_text())["iterator"] for file in files]
        if any(not isinstance(p, dict) or p.keys() != {"next_index"} for p in positions):
            raise InputError(
                f"{folder}: saved by {saved} processes, cannot resume with {count}: the position of"
                " data that workers decode belongs to their number"
            )
        # Processes that skipped damaged clips are ahead; no example is lost.
        done = min(p["next_index"] for p in positions) * saved
        return {"iterator": {"next_index": done // count}}


def fingerprints(frozen: Frozen) -> dict[str, str]:
    """Computes a fingerprint of the parameters of each network, where they are stored.

    Args:
      frozen: parameters by network; sharded arrays are not gathered.
    """
    return {name: _fingerprint(params) for name, params in frozen.items() if params}


def _fingerprint(params: Params) -> str:
    sums = {name: _checksum(params[name]) for name in sorted(params)}
    text = json.dumps({name: int(x) for name, x in jax.device_get(sums).items()})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@jax.jit
def _checksum(x: jax.Array) -> jax.Array:
    """Sums a hash of each element and its position modulo 2^32, whatever the order of addition."""
    unsigned = np.dtype(f"uint{8 * x.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(x, unsigned).astype(jnp.uint32)
    position = jax.lax.iota(jnp.uint32, x.size).reshape(x.shape)
    # MurmurHash3's finalizer, by which every bit changes half of the others.
    bits = bits ^ (position * jnp.uint32(0x9E3779B1))
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return jnp.sum(bits ^ (bits >> 16), dtype=jnp.uint32)


def _position_file(process: int, count: int) -> str:
    return _ALONE if count == 1 else f"process_{process}-of-{count}.json"
