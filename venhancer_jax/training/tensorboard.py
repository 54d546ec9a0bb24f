"""Metrics and pictures for TensorBoard."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath
from tensorboardX import SummaryWriter


class TensorBoard:
    """Writes the event files of a run.

    A `gs://` folder takes the package google-cloud-storage, through which tensorboardX writes.
    """

    def __init__(self, folder: epath.PathLike, *, after: int = 0):
        """Opens a new event file.

        Args:
          folder: of the event files.
          after: step at which the run goes on; TensorBoard hides what older files say of later
            ones.
        """
        self._writer = SummaryWriter(str(folder), purge_step=after + 1)

    def scalars(self, record: Mapping[str, Any]) -> None:
        """One record of `MetricsLog`; each number of a list is a scalar, `name/0` and so on."""
        step = record["step"]
        for name, value in record.items():
            if name == "step":
                continue
            numbers = np.asarray(value)
            if numbers.ndim == 0:
                self._writer.add_scalar(name, numbers.item(), step)
            for i, number in enumerate(numbers.reshape(-1) if numbers.ndim else ()):
                self._writer.add_scalar(f"{name}/{i}", number.item(), step)
        self._writer.flush()

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """A uint8 picture `[H, W, 3]`."""
        self._writer.add_image(name, picture, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()
