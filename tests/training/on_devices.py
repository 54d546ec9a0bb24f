"""Training runs in processes of their own, with as many devices as asked.

python on_devices.py TASK RESULT '[["WORKDIR", {"mesh__data": 4}], ...]'

where TASK is `toy` or `debug`.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]

# `(workdir, changes of the config)`
Run = tuple[Path, Mapping[str, Any]]


def start(
    result: Path, runs: Sequence[Run], *, devices: int, task: str = "toy", cached: bool = True
) -> subprocess.Popen:
    """Starts a process that trains one run after the other and writes what came of them.

    Of a program from the cache the compiler says nothing: who wants to hear it does not cache.
    """
    # Fresh parameters of a process differ in their last bits where its compiler has other flags.
    flags = os.environ.get("XLA_FLAGS", "")
    environment = os.environ | {
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
    }
    if not cached:
        environment.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")
    if task == "debug":  # halves the time to compile
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    tasks = json.dumps([(str(workdir), dict(changes)) for workdir, changes in runs])
    command = [sys.executable, __file__, task, str(result), tasks]
    output: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=environment, text=True, **output)


def start_together(
    results: Sequence[Path], runs: Sequence[Run], *, devices: int, **options: Any
) -> list[subprocess.Popen]:
    """Starts processes with so many devices each, that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    joined = {"coordinator": f"127.0.0.1:{port}", "process_count": len(results)}
    return [
        start(
            result,
            [(workdir, {**changes, **joined, "process_id": i}) for workdir, changes in runs],
            devices=devices,
            **options,
        )
        for i, result in enumerate(results)
    ]


def finish(*processes: subprocess.Popen, timeout: float = 200) -> list[str]:
    """Their output, once all of them have ended well."""
    try:
        outputs = [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not any(process.returncode for process in processes), "\n".join(outputs)
    return outputs


def main(task: str, result: Path, runs: Sequence[tuple[str, dict[str, Any]]]) -> None:
    import jax
    import numpy as np
    from training.debug_network import debug_config, train_debug
    from training.toy import toy_config, train_toy

    from venhancer_jax.sharding.processes import fetch_to_host, initialize_distributed
    from venhancer_jax.startup import use_compilation_cache

    use_compilation_cache()
    initialize_distributed({"toy": toy_config, "debug": debug_config}[task](runs[0][1]))
    found: dict[str, Any] = {}
    for i, (workdir, changes) in enumerate(runs):
        if task == "toy":
            state, frozen = train_toy(workdir, **changes), {}
        else:
            state, frozen = train_debug(workdir, **changes)
        parts = {"params": state.params, "ema": state.ema, "frozen": frozen}
        parts["optimizer"] = state.optimizer
        for name, tree in parts.items():
            for path, x in jax.tree.leaves_with_path(tree):
                place = jax.tree_util.keystr(path, simple=True, separator="/")
                found[f"{i}/{name}/{place}"] = fetch_to_host(x)
        found[f"{i}/step"] = np.array(int(state.step))
        found[f"{i}/split"] = np.array(sum(not x.is_fully_replicated for x in state.ema.values()))
    np.savez(result, **found)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
