from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from training.tiny import write_weights

    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    return folder
