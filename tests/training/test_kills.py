"""Checkpoints outlive a process that is killed at any moment."""

import random
import time
from pathlib import Path

import pytest
from training.forked import fork_context
from training.saver import save_forever


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, 20])
def test_what_was_saved_outlives_kills(kills: int, tmp_path: Path):
    context = fork_context()
    chance, reported, restored = random.Random(0), 0, 0
    for kill in range(kills + 1):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=save_forever, args=(tmp_path, theirs), daemon=True)
        process.start()
        theirs.close()
        first = ours.recv()
        if first[0] == "found":
            _, step, equal = first
            assert equal, f"after kill {kill}, step {step}"
            assert step >= reported, f"step {reported} was reported saved, {step} is the latest"
            restored += 1
        if kill < kills:
            time.sleep(chance.uniform(0, 0.5))
        process.kill()
        try:
            while True:  # what it said before its end
                message = ours.recv()
                reported = message[1]
        except EOFError:
            pass
        process.join()
    # Some kills come before the first save of their process, but all after that of the first.
    assert reported >= 1
    assert restored == kills
