"""Where the metrics of a run go: `metrics.jsonl` and TensorBoard."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from venhancer_jax.sharding.processes import is_main_process
from venhancer_jax.training.log import MetricsLog
from venhancer_jax.training.tensorboard import TensorBoard


class Records:
    """Writes metrics on the first process, and nothing on the others.

    Attributes:
      board: for pictures; None on the others.
    """

    def __init__(self, workdir: epath.Path, *, after: int):
        """Opens the files.

        Args:
          workdir: of the run.
          after: step at which the run goes on; what is there of later ones is dropped.
        """
        self._log = self.board = None
        if is_main_process():
            self._log = MetricsLog(workdir / "metrics.jsonl", after=after)
            self.board = TensorBoard(workdir / "tensorboard", after=after)

    def write(self, step: int, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        """Writes the metrics of a step, in the form in which it returns them."""
        if self._log is None or self.board is None:
            return {"step": step, **metrics}
        record = self._log.write(step, metrics)
        self.board.scalars(record)
        return record

    def close(self) -> None:
        """Closes the files."""
        if self._log is not None and self.board is not None:
            self._log.close()
            self.board.close()
