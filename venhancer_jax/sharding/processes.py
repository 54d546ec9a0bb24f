"""Coordination of the processes of one run, one per host."""

import atexit
import contextlib
import os
import pickle
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.interrupt import call_on_interrupt, wait_if_interrupted

T = TypeVar("T")
# A process that is gone is noticed after this many seconds, and ends all others.
_HEARTBEAT_SECONDS = 30
_MESSAGE_BYTES = 2048
# A signal that ends one process is announced under this key. All notice it before the first one
# ends, and the main process ends last, because the others take its end for a failure.
_SIGNAL_KEY = "venhancer_jax/signal"
_WATCH_SECONDS, _NOTICED_SECONDS, _MAIN_SECONDS = 0.2, 0.8, 1.2


def initialize_distributed(config: ConfigDict) -> None:
    """Connects this process with the others of a distributed run.

    On TPU pods and on Slurm, `config.distributed` is enough: JAX finds the others. Elsewhere
    `config.coordinator` is the `host:port` of the first process, the same for all, together with
    the process's own `config.process_id` and their number `config.process_count`. Must come before
    anything that uses a device.

    Raises:
      InputError: `config.distributed` without a pod, Slurm or coordinator.
    """
    if config.coordinator:
        jax.distributed.initialize(
            config.coordinator,
            num_processes=config.process_count,
            process_id=config.process_id,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        )
    elif config.distributed:
        try:
            jax.distributed.initialize(heartbeat_timeout_seconds=_HEARTBEAT_SECONDS)
        except ValueError as error:
            raise InputError(
                "distributed=True: found no TPU pod and no Slurm job. On one machine set"
                " --config.distributed=False; elsewhere set coordinator, process_id and"
                " process_count"
            ) from error


def share_interrupts() -> None:
    """Has a signal that interrupts one process of the run interrupt all, within two seconds.

    JAX's own notice of preemption waits for a step that all processes reach, which takes minutes.
    """
    if jax.process_count() == 1:
        return
    # The key-value store of the coordinator has no public name.
    from jax._src import distributed

    client = distributed.global_state.client
    assert client is not None
    finished = threading.Event()

    def announce(number: int) -> None:
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            client.key_value_set(_SIGNAL_KEY, str(number), allow_overwrite=True)
        time.sleep(_MAIN_SECONDS if is_main_process() else _NOTICED_SECONDS)

    def watch() -> None:
        while not finished.wait(_WATCH_SECONDS):
            try:
                number = int(client.key_value_try_get(_SIGNAL_KEY))
            except jax.errors.JaxRuntimeError as error:
                if "NOT_FOUND" in str(error):
                    continue
                return
            os.kill(os.getpid(), number)
            return

    def stop() -> None:
        finished.set()
        thread.join()

    call_on_interrupt(announce)
    thread = threading.Thread(target=watch, name="interrupts", daemon=True)
    thread.start()
    # Before the interpreter ends, and before JAX leaves the coordinator.
    atexit.register(stop)


@contextlib.contextmanager
def failing_together() -> Iterator[None]:
    """Ends all processes of the run when this one fails.

    A process that left quietly would keep the others waiting in a collective for ever. So a failure
    is reported here and the process ends without a farewell; the coordinator notices and ends the
    others. With a single process exceptions pass through.
    """
    if jax.process_count() == 1:
        yield
        return
    try:
        yield
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            raise
        # Where a signal ends all processes, a collective fails as soon as the first one is gone.
        wait_if_interrupted()
        wrong_input = isinstance(error, InputError)
        if wrong_input:
            print(f"error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        print(f"process {jax.process_index()} failed: all processes stop", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2 if wrong_input else 1)


def together(check: Callable[[], T]) -> T:
    """Runs a check on every process; an error of one process is raised on all.

    Args:
      check: function without collectives; all processes must call this together.

    Raises:
      InputError: the check failed on this process or on another one.
    """
    result, error = None, None
    try:
        result = check()
    except InputError as wrong:
        error = wrong
    if jax.process_count() > 1:
        message = str(error or "").encode()[:_MESSAGE_BYTES]
        own = np.frombuffer(message.ljust(_MESSAGE_BYTES, b"\0"), np.uint8)
        for number, row in enumerate(multihost_utils.process_allgather(own)):
            if found := row.tobytes().rstrip(b"\0").decode(errors="replace"):
                error = error or InputError(f"process {number}: {found}")
    if error is not None:
        raise error
    return cast(T, result)


def broadcast_from_main(compute: Callable[[], T]) -> T:
    """Returns what the main process computes, on every process.

    Args:
      compute: function that the main process alone calls; all processes must call this together.
    """
    if jax.process_count() == 1:
        return compute()
    content = pickle.dumps(compute()) if is_main_process() else b""
    size = int(multihost_utils.broadcast_one_to_all(np.int64(len(content))))
    own = np.frombuffer(content.ljust(size, b"\0"), np.uint8)
    return pickle.loads(np.asarray(multihost_utils.broadcast_one_to_all(own)).tobytes())


def check_alike(facts: Sequence[str], message: str) -> None:
    """Compares facts between processes, which would wait for each other if they differed.

    Args:
      facts: texts that all processes should have alike; all processes must call this together.
      message: start of the error message.

    Raises:
      InputError: on every process, if the facts of any process differ from those of the first.
    """
    if jax.process_count() == 1:
        return
    own = np.uint32(zlib.crc32("\n".join(facts).encode()))
    found = multihost_utils.process_allgather(own).ravel()
    if other := [str(i) for i, checksum in enumerate(found) if checksum != found[0]]:
        raise InputError(f"{message}: process {', '.join(other)} and process 0 differ")


def is_main_process() -> bool:
    """Returns whether this process logs and writes results on behalf of all."""
    return jax.process_index() == 0


def log_on_main(line: str) -> None:
    """Prints a line on the main process only."""
    if is_main_process():
        print(line, flush=True)


def fetch_to_host(x: jax.Array) -> np.ndarray:
    """Returns a whole array on every process; all processes must call this for a sharded array."""
    if x.is_fully_addressable or x.is_fully_replicated:
        return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))
