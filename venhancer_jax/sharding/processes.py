"""What several processes of one run, one a host, do together."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict


def join(config: ConfigDict) -> None:
    """Connects this process with the others of the run, if the config says that there are any.

    On TPU pods and on Slurm, `config.distributed` is enough: JAX finds the others. Elsewhere
    `config.coordinator` is the `host:port` of the first process, which every process is told,
    together with its own `config.process_id` and their `config.process_count`. Has to come before
    anything that uses a device.
    """
    if config.coordinator:
        jax.distributed.initialize(
            config.coordinator,
            num_processes=config.process_count,
            process_id=config.process_id,
        )
    elif config.distributed:
        jax.distributed.initialize()


def is_main_process() -> bool:
    """Whether this is the process that prints and writes what there is once."""
    return jax.process_index() == 0


def log_on_main(line: str) -> None:
    """Prints a line, once for all processes."""
    if is_main_process():
        print(line, flush=True)


def fetch_to_host(x: jax.Array) -> np.ndarray:
    """A whole array, on every process; if other processes hold parts, all have to call this."""
    if x.is_fully_addressable or x.is_fully_replicated:
        return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))
